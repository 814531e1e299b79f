# No worker asks to be spared while it works: docs/deploy.md says why.

resource "aws_appautoscaling_target" "workers" {
  count              = local.scales ? 1 : 0
  service_namespace  = "ecs"
  scalable_dimension = "ecs:service:DesiredCount"
  resource_id        = "service/${aws_ecs_cluster.workers.name}/${aws_ecs_service.workers.name}"
  min_capacity       = var.tasks_min
  max_capacity       = var.tasks_max
}

resource "aws_appautoscaling_policy" "backlog" {
  count              = local.scales ? 1 : 0
  name               = "backlog-per-task"
  policy_type        = "TargetTrackingScaling"
  service_namespace  = aws_appautoscaling_target.workers[0].service_namespace
  scalable_dimension = aws_appautoscaling_target.workers[0].scalable_dimension
  resource_id        = aws_appautoscaling_target.workers[0].resource_id
  target_tracking_scaling_policy_configuration {
    target_value       = var.backlog_per_task
    scale_out_cooldown = 60
    scale_in_cooldown  = 300
    customized_metric_specification {
      metrics {
        id          = "waiting"
        label       = "Messages that wait in the queue"
        return_data = false
        metric_stat {
          stat = "Maximum"
          metric {
            namespace   = "AWS/SQS"
            metric_name = "ApproximateNumberOfMessagesVisible"
            dimensions {
              name  = "QueueName"
              value = aws_sqs_queue.source[0].name
            }
          }
        }
      }
      metrics {
        id          = "running"
        label       = "Workers that run"
        return_data = false
        metric_stat {
          stat = "Average"
          metric {
            namespace   = "ECS/ContainerInsights"
            metric_name = "RunningTaskCount"
            dimensions {
              name  = "ClusterName"
              value = aws_ecs_cluster.workers.name
            }
            dimensions {
              name  = "ServiceName"
              value = aws_ecs_service.workers.name
            }
          }
        }
      }
      metrics {
        id          = "backlog"
        label       = "Messages for each worker"
        expression  = "waiting / running"
        return_data = true
      }
    }
  }
}
