output "source_queue_url" {
  description = "Where producers send events."
  value       = one(aws_sqs_queue.source[*].url)
}

output "dead_letter_queue_url" {
  description = "Where events end that can never be published."
  value       = aws_sqs_queue.dead_letters.url
}

output "dead_letter_queue_arn" {
  description = "The source of StartMessageMoveTask, which sends letters back after a repair."
  value       = aws_sqs_queue.dead_letters.arn
}

output "ledger_table" {
  description = "The ledger, for `tributary trace` and `tributary ledger`."
  value       = one(aws_dynamodb_table.ledger[*].name)
}

output "lease_table" {
  description = "Who reads which shard, and how far."
  value       = one(aws_dynamodb_table.leases[*].name)
}

output "producer_policy_arn" {
  description = "Attach this to the role of each producer."
  value       = aws_iam_policy.producer.arn
}

output "task_role_arn" {
  description = "The principal to name in the channel's resource policy when the channel is another account's."
  value       = aws_iam_role.task.arn
}

output "log_group" {
  description = "The service's log."
  value       = aws_cloudwatch_log_group.workers.name
}
