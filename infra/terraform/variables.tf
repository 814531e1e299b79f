# The same as the parameters of infra/cloudformation/tributary.yaml, which say more about each.

variable "name" {
  type        = string
  default     = "tributary"
  description = "Begins the names of what is made."
}

variable "channel_arn" {
  type        = string
  description = "ARN of the existing CloudTrail Lake channel to publish to. Terraform can make none."
  validation {
    condition     = can(regex("^arn:aws[-a-z]*:cloudtrail:[-a-z0-9]+:[0-9]{12}:channel/[-0-9A-Za-z]+$", var.channel_arn))
    error_message = "Has to be a full ARN, arn:aws:cloudtrail:REGION:ACCOUNT:channel/ID."
  }
}

variable "external_id_secret_arn" {
  type        = string
  default     = null
  description = "Secret whose text is the external ID that the channel's resource policy asks for."
}

variable "image_uri" {
  type        = string
  description = "The image of this repository's Dockerfile. Give a digest or a tag that never moves."
}

variable "cpu_architecture" {
  type        = string
  default     = "ARM64"
  description = "What the image was built for, ARM64 or X86_64."
}

variable "tasks_min" {
  type        = number
  default     = 1
  description = "Fewest workers. Equal to tasks_max, their number is fixed; 0 for both pauses the service."
}

variable "tasks_max" {
  type        = number
  default     = 1
  description = "Most workers. Above tasks_min, as many run as backlog_per_task asks for; only a queue scales."
  validation {
    condition     = var.tasks_max >= 0 && var.tasks_max <= 100
    error_message = "More than 100 workers cannot be of use: they share 100 calls a second."
  }
}

variable "backlog_per_task" {
  type        = number
  default     = 10000
  description = "Where the number of workers scales, the messages that may wait for each."
}

variable "requests_per_second" {
  type        = number
  default     = 100
  description = "Most PutAuditEvents calls a second of one worker. Set 100 divided by tasks_max."
}

variable "ledger_kind" {
  type        = string
  default     = "dynamodb"
  description = "dynamodb, or memory for a single worker."
  validation {
    condition     = contains(["dynamodb", "memory"], var.ledger_kind)
    error_message = "Either dynamodb or memory."
  }
}

variable "ledger_point_in_time_recovery" {
  type        = bool
  default     = false
  description = "Backups of the ledger. Off, because a table as it was an hour ago lacks exactly those ids that count now."
}

variable "stream_arn" {
  type        = string
  default     = null
  description = "Kinesis stream that events come from. Without it a queue is made for them."
}

variable "stream_consumer_arn" {
  type        = string
  default     = null
  description = "Registered consumer of that stream for enhanced fan-out, of this service alone."
}

variable "stream_kms_key_arn" {
  type        = string
  default     = null
  description = "Customer managed key that the stream is encrypted with."
}

variable "objects_bucket" {
  type        = string
  default     = null
  description = "Bucket of log files, in this account, that may announce its objects on the source queue. With a queue only."
}

variable "objects_kms_key_arn" {
  type        = string
  default     = null
  description = "Customer managed key that the objects of that bucket are encrypted with."
}

variable "overflow_bucket" {
  type        = string
  default     = null
  description = "Existing bucket, in this Region, for events that are too large for the dead-letter queue."
}

variable "overflow_prefix" {
  type        = string
  default     = "letters"
  description = "Where in that bucket they go; the workers can write nowhere else."
}

variable "publish_log_bucket" {
  type        = string
  default     = null
  description = "Existing bucket, best with object lock, for the publish log."
}

variable "publish_log_prefix" {
  type        = string
  default     = "tributary"
  description = "Where in that bucket the publish log goes; the workers can write nowhere else."
}

variable "kms_key_arn" {
  type        = string
  default     = null
  description = "Customer managed key for the queues; without it SQS encrypts with its own."
}

variable "vpc_id" {
  type        = string
  description = "Where the workers run."
}

variable "subnet_ids" {
  type        = list(string)
  description = "Subnets with a way out to SQS, CloudTrail, ECR, CloudWatch Logs, and DynamoDB and S3 where they are used."
}

variable "assign_public_ip" {
  type        = bool
  default     = false
  description = "True only where the subnets are public and have no NAT."
}

variable "metrics_security_group_id" {
  type        = string
  default     = null
  description = "Security group of the Prometheus server that may read /metrics on port 9464."
}

variable "alarm_topic_arn" {
  type        = string
  default     = null
  description = "SNS topic that the alarms notify."
}

variable "log_retention_days" {
  type        = number
  default     = 30
  description = "How long the service's log is kept."
}
