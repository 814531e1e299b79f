"""ministack as an account of its own: over TLS, every call checked against the policies of who makes it.

The environment says where the certificate is (MINISTACK_SSL_CERT, MINISTACK_SSL_KEY). Some of its ways that are
not AWS's are set right, so that templates and policies can be used as they are.
"""

import json
import os
import re

from ministack_server import serve

os.environ.update(AUTH="true", USE_SSL="1")


def prepare() -> None:
    from ministack.core import iam_actions
    from ministack.services import ecs

    create, update = ecs._create_service, ecs._update_service

    # CloudFormation hands a parameter of type Number over as a number.
    def with_number(request):
        count = request.get("desiredCount")
        return request if count is None else request | {"desiredCount": int(count)}

    ecs._create_service = lambda request: create(with_number(request))
    ecs._update_service = lambda request: update(with_number(request))

    checks = iam_actions.dynamodb_transaction_checks

    # A batch of statements is no action of IAM: each statement is authorised as the one that it is, on its table.
    # https://docs.aws.amazon.com/amazondynamodb/latest/developerguide/ql-iam.html
    def with_statements(action, body, region, account):
        if action != "dynamodb:BatchExecuteStatement":
            return checks(action, body, region, account)
        found = []
        for one in json.loads(body)["Statements"]:
            verb = one["Statement"].split(None, 1)[0].capitalize()
            table = re.search(r'(?:INTO|FROM|UPDATE)\s+"([^"]+)"', one["Statement"]).group(1)
            found.append((f"dynamodb:PartiQL{verb}", iam_actions._dynamodb_table_arn(table, region, account)))
        return found

    iam_actions.dynamodb_transaction_checks = with_statements

    action_of = iam_actions.extract_iam_action

    # Nor is a batch of messages: who may send one may send ten.
    # https://docs.aws.amazon.com/AWSSimpleQueueService/latest/SQSDeveloperGuide/sqs-api-permissions-reference.html
    def without_batch(service, *others):
        action = action_of(service, *others)
        return action.removesuffix("Batch") if action and service == "sqs" else action

    iam_actions.extract_iam_action = without_batch


serve(prepare)
