"""Is what we say to CloudTrail, and what a scripted CloudTrail says to us, what the service's own model allows?

In: {"requests": [[action, body], ...], "answers": [[action, body], ...]} on standard input. Fails with what is wrong.
"""

import json
import sys

import botocore.session
from botocore.validate import ParamValidator

model = botocore.session.get_session().get_service_model("cloudtrail")


def unknown(shape, value, path):
    """Members that the model does not know: a validator lets some of them pass."""
    if shape is None:
        return [] if not value else [f"{path} has no shape"]
    if shape.type_name == "structure":
        found = [f"{path}.{name} is not in the model" for name in value if name not in shape.members]
        return found + [
            wrong
            for name, member in shape.members.items()
            if name in value
            for wrong in unknown(member, value[name], f"{path}.{name}")
        ]
    if shape.type_name == "list":
        return [wrong for at, item in enumerate(value) for wrong in unknown(shape.member, item, f"{path}[{at}]")]
    if shape.type_name == "map":
        return [wrong for key, item in value.items() for wrong in unknown(shape.value, item, f"{path}.{key}")]
    if shape.metadata.get("enum") and value not in shape.metadata["enum"]:
        return [f"{path} is {value!r}, not one of {shape.metadata['enum']}"]
    return []


said = json.load(sys.stdin)
problems = []
for kind, shape_of in (("requests", lambda op: op.input_shape), ("answers", lambda op: op.output_shape)):
    for action, body in said[kind]:
        if body.get("__type"):
            known = {shape.metadata.get("error", {}).get("code", shape.name) for shape in model.operation_model(action).error_shapes}
            known |= {shape.name for shape in model.operation_model(action).error_shapes}
            if body["__type"] not in known:
                problems.append(f"{action} has no error {body['__type']}")
            continue
        shape = shape_of(model.operation_model(action))
        problems += unknown(shape, body, action)
        report = ParamValidator().validate(body, shape)
        if report.has_errors():
            problems.append(f"{action}: {report.generate_report()}")
for problem in problems:
    print(problem)
print(len(said["requests"]), "requests and", len(said["answers"]), "answers")
sys.exit(1 if problems else 0)
