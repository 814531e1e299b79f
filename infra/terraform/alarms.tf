# The alarms that need no Prometheus. Each says what happened and where to look.

locals {
  alarms = merge(
    { for queue in aws_sqs_queue.source : "queue-age" => {
      description = "Events wait for 15 minutes: the worker is down, paused by a misconfiguration, or too slow. Read the service's log for the cure."
      namespace   = "AWS/SQS"
      metric      = "ApproximateAgeOfOldestMessage"
      dimensions  = { QueueName = queue.name }
      statistic   = "Maximum"
      periods     = 2
      comparison  = "GreaterThanThreshold"
      threshold   = 900
      missing     = "notBreaching"
    } },
    local.takes_stream ? { stream-age = {
      description = "What is read of the stream was written 15 minutes ago or earlier, by whichever of its readers that poll. Read the service's log for the cure."
      namespace   = "AWS/Kinesis"
      metric      = "GetRecords.IteratorAgeMilliseconds"
      dimensions  = { StreamName = split("/", var.stream_arn)[1] }
      statistic   = "Maximum"
      periods     = 2
      comparison  = "GreaterThanThreshold"
      threshold   = 900000
      missing     = "notBreaching"
    } } : {},
    { dead-letters = {
      description = "Somebody's audit events could not be published. Each letter carries its reason. They expire after 14 days."
      namespace   = "AWS/SQS"
      metric      = "ApproximateNumberOfMessagesVisible"
      dimensions  = { QueueName = aws_sqs_queue.dead_letters.name }
      statistic   = "Maximum"
      periods     = 1
      comparison  = "GreaterThanThreshold"
      threshold   = 0
      missing     = "notBreaching"
    } },
    # A service without a running task reports nothing at all.
    var.tasks_min == 0 ? {} : { no-worker = {
      description = "No worker has run for ten minutes. Nothing is lost: events wait where they are. Read the service's events and the end of its log."
      namespace   = "AWS/ECS"
      metric      = "CPUUtilization"
      dimensions  = { ClusterName = aws_ecs_cluster.workers.name, ServiceName = aws_ecs_service.workers.name }
      statistic   = "SampleCount"
      periods     = 2
      comparison  = "LessThanThreshold"
      threshold   = 1
      missing     = "breaching"
    } },
    { errors = {
      description = "A worker wrote a line of level error: something that does not go away by itself. The line says what, and its cure."
      namespace   = "Tributary"
      metric      = "errors-${var.name}"
      dimensions  = {}
      statistic   = "Sum"
      periods     = 1
      comparison  = "GreaterThanThreshold"
      threshold   = 0
      missing     = "notBreaching"
    } },
    { for table in aws_dynamodb_table.ledger : "ledger-throttled" => {
      description = "DynamoDB has throttled the ledger for a quarter of an hour. Workers wait and lose nothing, but they are slow."
      namespace   = "AWS/DynamoDB"
      metric      = "WriteThrottleEvents"
      dimensions  = { TableName = table.name }
      statistic   = "Sum"
      periods     = 3
      comparison  = "GreaterThanThreshold"
      threshold   = 0
      missing     = "notBreaching"
    } },
  )
}

# The log says `error` when somebody has to act, and then only.
resource "aws_cloudwatch_log_metric_filter" "errors" {
  name           = "${var.name}-errors"
  log_group_name = aws_cloudwatch_log_group.workers.name
  pattern        = "{ $.level = \"ERROR\" }"
  metric_transformation {
    namespace     = "Tributary"
    name          = "errors-${var.name}"
    value         = "1"
    default_value = 0
  }
}

resource "aws_cloudwatch_metric_alarm" "alarms" {
  for_each            = local.alarms
  alarm_name          = "${var.name}-${each.key}"
  alarm_description   = each.value.description
  namespace           = each.value.namespace
  metric_name         = each.value.metric
  dimensions          = each.value.dimensions
  statistic           = each.value.statistic
  period              = 300
  evaluation_periods  = each.value.periods
  comparison_operator = each.value.comparison
  threshold           = each.value.threshold
  treat_missing_data  = each.value.missing
  alarm_actions       = var.alarm_topic_arn == null ? [] : [var.alarm_topic_arn]
  ok_actions          = var.alarm_topic_arn == null ? [] : [var.alarm_topic_arn]
}
