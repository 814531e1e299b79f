resource "aws_cloudwatch_log_group" "workers" {
  name_prefix       = "${var.name}-"
  retention_in_days = var.log_retention_days
}

resource "aws_ecs_cluster" "workers" {
  name = var.name
  setting {
    # It counts the running workers, which scaling divides the backlog by. It costs money, so only for that.
    name  = "containerInsights"
    value = local.scales ? "enabled" : "disabled"
  }
}

locals {
  # Letters that are sent back come by the source queue, too.
  buckets = local.takes_queue ? compact([var.objects_bucket, var.overflow_bucket]) : []
  environment = {
    TRIBUTARY_SOURCE_QUEUE_URL                      = one(aws_sqs_queue.source[*].url)
    TRIBUTARY_STREAM_ARN                            = var.stream_arn
    TRIBUTARY_STREAM_LEASE_TABLE                    = one(aws_dynamodb_table.leases[*].name)
    TRIBUTARY_STREAM_CONSUMER_ARN                   = var.stream_consumer_arn
    TRIBUTARY_DEAD_LETTER_QUEUE_URL                 = aws_sqs_queue.dead_letters.url
    TRIBUTARY_DESTINATIONS_LAKE_CHANNEL_ARN         = var.channel_arn
    TRIBUTARY_DESTINATIONS_LAKE_REQUESTS_PER_SECOND = tostring(var.requests_per_second)
    TRIBUTARY_LEDGER_KIND                           = var.ledger_kind
    TRIBUTARY_LEDGER_TABLE                          = one(aws_dynamodb_table.ledger[*].name)
    TRIBUTARY_DEAD_LETTER_OVERFLOW                  = var.overflow_bucket == null ? null : "s3://${var.overflow_bucket}/${var.overflow_prefix}"
    TRIBUTARY_OBJECTS_BUCKETS                       = length(local.buckets) == 0 ? null : join(", ", local.buckets)
    TRIBUTARY_PUBLISH_LOG_TO                        = var.publish_log_bucket == null ? null : "s3://${var.publish_log_bucket}/${var.publish_log_prefix}"
  }
}

resource "aws_ecs_task_definition" "worker" {
  family                   = var.name
  requires_compatibilities = ["FARGATE"]
  network_mode             = "awsvpc"
  cpu                      = 256
  memory                   = 512
  task_role_arn            = aws_iam_role.task.arn
  execution_role_arn       = aws_iam_role.execution.arn
  runtime_platform {
    cpu_architecture        = var.cpu_architecture
    operating_system_family = "LINUX"
  }
  container_definitions = jsonencode([{
    name                   = "tributary"
    image                  = var.image_uri
    essential              = true
    readonlyRootFilesystem = true
    linuxParameters        = { capabilities = { drop = ["ALL"] } }
    # Longer than service.drain_timeout (25 s), so that the worker is the one who ends.
    stopTimeout = 45
    environment = [for name, value in local.environment : { name = name, value = value } if value != null]
    secrets = var.external_id_secret_arn == null ? [] : [
      { name = "TRIBUTARY_DESTINATIONS_LAKE_EXTERNAL_ID", valueFrom = var.external_id_secret_arn }
    ]
    portMappings = [{ containerPort = 9464, protocol = "tcp" }]
    # Alive, not ready: a worker whose channel is wrong is not ready, and starting another cures nothing.
    healthCheck = {
      command     = ["CMD", "/usr/local/bin/health"]
      interval    = 30
      timeout     = 5
      retries     = 3
      startPeriod = 30
    }
    # A log that is out of reach must not hold up the work: lines beyond the buffer are dropped.
    logConfiguration = {
      logDriver = "awslogs"
      options = {
        mode                  = "non-blocking"
        max-buffer-size       = "4m"
        awslogs-group         = aws_cloudwatch_log_group.workers.name
        awslogs-region        = local.region
        awslogs-stream-prefix = "tributary"
      }
    }
  }])
}

resource "aws_security_group" "workers" {
  name_prefix = "${var.name}-"
  description = "Tributary workers, which call AWS over TLS and are called by Prometheus alone"
  vpc_id      = var.vpc_id
  egress {
    description = "AWS endpoints"
    protocol    = "tcp"
    from_port   = 443
    to_port     = 443
    cidr_blocks = ["0.0.0.0/0"]
  }
  dynamic "ingress" {
    for_each = var.metrics_security_group_id == null ? [] : [var.metrics_security_group_id]
    content {
      description     = "Prometheus"
      protocol        = "tcp"
      from_port       = 9464
      to_port         = 9464
      security_groups = [ingress.value]
    }
  }
}

resource "aws_ecs_service" "workers" {
  name            = var.name
  cluster         = aws_ecs_cluster.workers.id
  task_definition = aws_ecs_task_definition.worker.arn
  launch_type     = "FARGATE"
  desired_count   = var.tasks_min
  propagate_tags  = "SERVICE"
  depends_on      = [aws_iam_role_policy.task]
  # With a table, new workers start before the old ones stop. Without one, stop first, then start: workers whose
  # memories of published ids are apart never work side by side.
  deployment_minimum_healthy_percent = local.keeps_ledger ? 100 : 0
  deployment_maximum_percent         = local.keeps_ledger ? 200 : 100
  deployment_circuit_breaker {
    enable   = true
    rollback = true
  }
  network_configuration {
    subnets          = var.subnet_ids
    security_groups  = [aws_security_group.workers.id]
    assign_public_ip = var.assign_public_ip
  }

  lifecycle {
    # Where the number scales, applying must not set it back.
    ignore_changes = [desired_count]
    precondition {
      condition     = var.ledger_kind == "dynamodb" || var.tasks_max <= 1
      error_message = "With a ledger in memory each worker knows only what it published itself: set tasks_max to 1."
    }
    precondition {
      condition     = local.takes_queue || (!local.scales && var.objects_bucket == null)
      error_message = "A stream has one reader for each shard, and hears of no objects: set tasks_min to tasks_max, and no objects_bucket."
    }
    precondition {
      condition     = !local.scales || var.tasks_min > 0
      error_message = "A backlog cannot be divided among no workers: set tasks_min to 1 or more."
    }
  }
}
