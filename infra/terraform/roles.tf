# Who may do what: one policy for each thing that the worker does, on its own resources. A test compares the rights with
# those of infra/cloudformation/roles.yaml, which tests try for real.

data "aws_iam_policy_document" "trust" {
  statement {
    actions = ["sts:AssumeRole"]
    principals {
      type        = "Service"
      identifiers = ["ecs-tasks.amazonaws.com"]
    }
    # Only tasks of this account: the service principal alone would also stand for everybody else's.
    condition {
      test     = "StringEquals"
      variable = "aws:SourceAccount"
      values   = [local.account]
    }
    condition {
      test     = "ArnLike"
      variable = "aws:SourceArn"
      values   = ["arn:${local.partition}:ecs:${local.region}:${local.account}:*"]
    }
  }
}

resource "aws_iam_role" "task" {
  name_prefix        = "${var.name}-"
  description        = "What the running worker may do."
  assume_role_policy = data.aws_iam_policy_document.trust.json
}

data "aws_iam_policy_document" "receive_from_queue" {
  count = local.takes_queue ? 1 : 0
  statement {
    actions   = ["sqs:ReceiveMessage", "sqs:DeleteMessage", "sqs:ChangeMessageVisibility"]
    resources = [aws_sqs_queue.source[0].arn]
  }
}

data "aws_iam_policy_document" "receive_from_stream" {
  count = local.takes_stream ? 1 : 0
  statement {
    actions = [
      "kinesis:ListShards",
      "kinesis:DescribeStreamSummary",
      "kinesis:GetShardIterator",
      "kinesis:GetRecords",
    ]
    resources = [var.stream_arn]
  }
  dynamic "statement" {
    for_each = var.stream_consumer_arn == null ? [] : [1]
    content {
      actions   = ["kinesis:SubscribeToShard"]
      resources = [var.stream_consumer_arn]
    }
  }
  dynamic "statement" {
    for_each = var.stream_kms_key_arn == null ? [] : [1]
    content {
      actions   = ["kms:Decrypt"]
      resources = [var.stream_kms_key_arn]
    }
  }
  statement {
    actions = [
      "dynamodb:GetItem",
      "dynamodb:Scan",
      "dynamodb:PutItem",
      "dynamodb:UpdateItem",
      "dynamodb:DeleteItem",
    ]
    resources = [aws_dynamodb_table.leases[0].arn]
  }
}

data "aws_iam_policy_document" "read_objects" {
  count = local.takes_objects ? 1 : 0
  statement {
    actions   = ["s3:GetObject", "s3:GetObjectVersion"]
    resources = ["arn:${local.partition}:s3:::${var.objects_bucket}/*"]
  }
  # Without it S3 says of an object that is missing that it is denied.
  statement {
    actions   = ["s3:ListBucket"]
    resources = ["arn:${local.partition}:s3:::${var.objects_bucket}"]
  }
  dynamic "statement" {
    for_each = var.objects_kms_key_arn == null ? [] : [1]
    content {
      actions   = ["kms:Decrypt"]
      resources = [var.objects_kms_key_arn]
    }
  }
}

data "aws_iam_policy_document" "dedupe" {
  count = local.keeps_ledger ? 1 : 0
  statement {
    actions = [
      "dynamodb:PartiQLDelete",
      "dynamodb:PartiQLInsert",
      "dynamodb:PartiQLSelect",
      "dynamodb:PartiQLUpdate",
    ]
    resources = [aws_dynamodb_table.ledger[0].arn]
  }
}

data "aws_iam_policy_document" "publish" {
  statement {
    actions   = ["cloudtrail-data:PutAuditEvents"]
    resources = [var.channel_arn]
  }
}

data "aws_iam_policy_document" "dead_letter" {
  statement {
    actions   = ["sqs:SendMessage", "sqs:GetQueueAttributes"]
    resources = [aws_sqs_queue.dead_letters.arn]
  }
  # What no letter can carry is written there, and read again when its letter is sent back.
  dynamic "statement" {
    for_each = var.overflow_bucket == null ? [] : [1]
    content {
      actions   = ["s3:PutObject", "s3:GetObject"]
      resources = ["arn:${local.partition}:s3:::${var.overflow_bucket}/${var.overflow_prefix}/*"]
    }
  }
  # For both queues: to send to one that is encrypted with the key, and to receive from one.
  dynamic "statement" {
    for_each = var.kms_key_arn == null ? [] : [1]
    content {
      actions   = ["kms:Decrypt", "kms:GenerateDataKey"]
      resources = [var.kms_key_arn]
    }
  }
}

data "aws_iam_policy_document" "prove" {
  count = var.publish_log_bucket == null ? 0 : 1
  # A worker cannot list or delete what proves its work.
  statement {
    actions   = ["s3:PutObject", "s3:GetObject"]
    resources = ["arn:${local.partition}:s3:::${var.publish_log_bucket}/${var.publish_log_prefix}/*"]
  }
}

resource "aws_iam_role_policy" "task" {
  for_each = merge(
    { publish = data.aws_iam_policy_document.publish.json, dead-letter = data.aws_iam_policy_document.dead_letter.json },
    { for document in data.aws_iam_policy_document.receive_from_queue : "receive-from-queue" => document.json },
    { for document in data.aws_iam_policy_document.receive_from_stream : "receive-from-stream" => document.json },
    { for document in data.aws_iam_policy_document.read_objects : "read-objects" => document.json },
    { for document in data.aws_iam_policy_document.dedupe : "dedupe" => document.json },
    { for document in data.aws_iam_policy_document.prove : "prove" => document.json },
  )
  name   = each.key
  role   = aws_iam_role.task.id
  policy = each.value
}

data "aws_iam_policy_document" "producer" {
  dynamic "statement" {
    for_each = aws_sqs_queue.source
    content {
      actions   = ["sqs:SendMessage"]
      resources = [aws_sqs_queue.source[0].arn]
    }
  }
  dynamic "statement" {
    for_each = local.takes_stream ? [1] : []
    content {
      actions   = ["kinesis:PutRecord", "kinesis:PutRecords"]
      resources = [var.stream_arn]
    }
  }
  # SQS asks for both when it accepts a message for an encrypted queue.
  dynamic "statement" {
    for_each = local.takes_queue && var.kms_key_arn != null ? [1] : []
    content {
      actions   = ["kms:GenerateDataKey", "kms:Decrypt"]
      resources = [var.kms_key_arn]
    }
  }
  dynamic "statement" {
    for_each = var.stream_kms_key_arn == null ? [] : [1]
    content {
      actions   = ["kms:GenerateDataKey"]
      resources = [var.stream_kms_key_arn]
    }
  }
}

resource "aws_iam_policy" "producer" {
  name_prefix = "${var.name}-producer-"
  description = "Lets a producer of audit events send them to Tributary, and nothing else."
  policy      = data.aws_iam_policy_document.producer.json
}

data "aws_iam_policy_document" "start" {
  statement {
    actions = ["sts:AssumeRole"]
    principals {
      type        = "Service"
      identifiers = ["ecs-tasks.amazonaws.com"]
    }
  }
}

resource "aws_iam_role" "execution" {
  name_prefix        = "${var.name}-start-"
  description        = "What ECS may do to start the worker (pull the image, write its log, read the external ID)."
  assume_role_policy = data.aws_iam_policy_document.start.json
}

resource "aws_iam_role_policy_attachment" "execution" {
  role       = aws_iam_role.execution.name
  policy_arn = "arn:${local.partition}:iam::aws:policy/service-role/AmazonECSTaskExecutionRolePolicy"
}

resource "aws_iam_role_policy" "external_id" {
  count = var.external_id_secret_arn == null ? 0 : 1
  name  = "read-external-id"
  role  = aws_iam_role.execution.id
  policy = jsonencode({
    Version   = "2012-10-17"
    Statement = [{ Effect = "Allow", Action = "secretsmanager:GetSecretValue", Resource = var.external_id_secret_arn }]
  })
}
