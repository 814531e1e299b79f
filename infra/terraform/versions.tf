terraform {
  required_version = ">= 1.5"
  required_providers {
    aws = {
      source  = "hashicorp/aws"
      version = ">= 5.60"
    }
  }
}

data "aws_caller_identity" "current" {}
data "aws_partition" "current" {}
data "aws_region" "current" {}

locals {
  account   = data.aws_caller_identity.current.account_id
  partition = data.aws_partition.current.partition
  # `region` is what version 6 of the provider calls it, `name` what version 5 does.
  region = try(data.aws_region.current.region, data.aws_region.current.name)

  takes_queue   = var.stream_arn == null
  takes_stream  = var.stream_arn != null
  takes_objects = local.takes_queue && var.objects_bucket != null
  keeps_ledger  = var.ledger_kind == "dynamodb"
  scales        = var.tasks_max > var.tasks_min
}
