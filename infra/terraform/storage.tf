# What outlives everything else. Terraform has no policy to retain: `prevent_destroy` refuses a plan that would delete it.

resource "aws_sqs_queue" "source" {
  count       = local.takes_queue ? 1 : 0
  name_prefix = "${var.name}-events-"
  # How long the lake may be out of reach before events expire. Shorter than the dead-letter queue's retention,
  # because a message that SQS itself moves there keeps its age: four days are left to look at it.
  message_retention_seconds = 864000
  max_message_size          = 1048576
  receive_wait_time_seconds = 20
  # Tributary dead-letters by itself and says why. This is for messages that it cannot, and makes the queue below one
  # that StartMessageMoveTask accepts.
  redrive_policy = jsonencode({
    deadLetterTargetArn = aws_sqs_queue.dead_letters.arn
    maxReceiveCount     = 100
  })
  kms_master_key_id       = var.kms_key_arn
  sqs_managed_sse_enabled = var.kms_key_arn == null ? true : null

  lifecycle {
    prevent_destroy = true
  }
}

resource "aws_sqs_queue" "dead_letters" {
  name_prefix               = "${var.name}-dead-letters-"
  message_retention_seconds = 1209600
  max_message_size          = 1048576
  kms_master_key_id         = var.kms_key_arn
  sqs_managed_sse_enabled   = var.kms_key_arn == null ? true : null

  lifecycle {
    prevent_destroy = true
  }
}

data "aws_iam_policy_document" "source_queue" {
  count = local.takes_queue ? 1 : 0
  statement {
    sid       = "TlsOnly"
    effect    = "Deny"
    actions   = ["sqs:*"]
    resources = [aws_sqs_queue.source[0].arn]
    principals {
      type        = "*"
      identifiers = ["*"]
    }
    condition {
      test     = "Bool"
      variable = "aws:SecureTransport"
      values   = ["false"]
    }
  }
  dynamic "statement" {
    for_each = local.takes_objects ? [var.objects_bucket] : []
    content {
      sid       = "Notifications"
      actions   = ["sqs:SendMessage"]
      resources = [aws_sqs_queue.source[0].arn]
      principals {
        type        = "Service"
        identifiers = ["s3.amazonaws.com"]
      }
      condition {
        test     = "ArnEquals"
        variable = "aws:SourceArn"
        values   = ["arn:${local.partition}:s3:::${statement.value}"]
      }
      condition {
        test     = "StringEquals"
        variable = "aws:SourceAccount"
        values   = [local.account]
      }
    }
  }
}

resource "aws_sqs_queue_policy" "source" {
  count     = local.takes_queue ? 1 : 0
  queue_url = aws_sqs_queue.source[0].id
  policy    = data.aws_iam_policy_document.source_queue[0].json
}

data "aws_iam_policy_document" "dead_letter_queue" {
  statement {
    sid       = "TlsOnly"
    effect    = "Deny"
    actions   = ["sqs:*"]
    resources = [aws_sqs_queue.dead_letters.arn]
    principals {
      type        = "*"
      identifiers = ["*"]
    }
    condition {
      test     = "Bool"
      variable = "aws:SecureTransport"
      values   = ["false"]
    }
  }
}

resource "aws_sqs_queue_policy" "dead_letters" {
  queue_url = aws_sqs_queue.dead_letters.id
  policy    = data.aws_iam_policy_document.dead_letter_queue.json
}

# Without it every copy that is still under way would be published again.
resource "aws_dynamodb_table" "ledger" {
  count                       = local.keeps_ledger ? 1 : 0
  name                        = "${var.name}-ledger"
  billing_mode                = "PAY_PER_REQUEST"
  deletion_protection_enabled = true
  hash_key                    = "key"
  attribute {
    name = "key"
    type = "S"
  }
  ttl {
    attribute_name = "expires"
    enabled        = true
  }
  server_side_encryption {
    enabled = true
  }
  point_in_time_recovery {
    enabled = var.ledger_point_in_time_recovery
  }

  lifecycle {
    prevent_destroy = true
  }
}

# It says how far each shard was read. A table of minutes ago is of use: workers read again from there.
resource "aws_dynamodb_table" "leases" {
  count                       = local.takes_stream ? 1 : 0
  name                        = "${var.name}-leases"
  billing_mode                = "PAY_PER_REQUEST"
  deletion_protection_enabled = true
  hash_key                    = "leaseKey"
  attribute {
    name = "leaseKey"
    type = "S"
  }
  server_side_encryption {
    enabled = true
  }
  point_in_time_recovery {
    enabled = true
  }

  lifecycle {
    prevent_destroy = true
  }
}
