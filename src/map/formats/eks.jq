# Kubernetes audit events, as EKS sends them to CloudWatch Logs (and any other cluster to its own log).
# https://kubernetes.io/docs/reference/config-api/apiserver-audit.v1/

def matches: .kind == "Event" and (.apiVersion | type == "string" and startswith("audit.k8s.io/"));

# A request is told once for each stage that it went through, under one audit id. As a client may choose that id by a
# header, and give it to many requests, what was asked, when and by whom is part of the id.
def id:
    if .auditID | text then
        [.auditID, .stage, .requestReceivedTimestamp, .verb, .requestURI, (.user.username? // null)]
    else . end;

# For people who look for a request. One that is longer than the lake takes is only in the rest.
def uid: if .auditID | text then "\(.auditID)-\(.stage // "")" | if length > 1024 then null else . end else null end;

def actor:
    (.user.username? // null | text) as $name
    | if $name == null then ["KubernetesUser", "eks:no-user"]
      elif $name | startswith("system:serviceaccount:") then ["KubernetesServiceAccount", $name]
      elif $name | startswith("system:node:") then ["KubernetesNode", $name]
      else ["KubernetesUser", $name] end;

# `get pods/log`; of what is no resource `get /version`.
def action:
    (.objectRef | objects // {} | [.resource, .subresource] | map(text | values) | join("/") | text) as $resource
    | ((.verb | text) // error("verb is absent")) + " " + ($resource // (.requestURI | text // "" | split("?")[0]));

# Of the members of an object those that say something; none is no object.
def present: with_entries(select(.value != null)) | select(length > 0) // null;

def event:
    (.responseStatus | objects // {}) as $status
    | (($status.code | numbers // 0) >= 400) as $has_failed
    | {
        version: "1",
        userIdentity: (
            actor as [$type, $who]
            | (.user | objects // {} | del(.username)) as $others
            | {type: $type, principalId: $who, details: ($others + {impersonatedUser} | present)}
        ),
        UID: uid,
        userAgent: (.userAgent | text),
        eventSource: "audit.k8s.io",
        eventName: action,
        eventTime: (.requestReceivedTimestamp // .stageTimestamp // error("requestReceivedTimestamp is absent") | utc),
        requestParameters: ({requestURI, objectRef, requestObject} | present),
        responseElements: ({responseStatus, responseObject} | present),
        errorCode: (if $has_failed then ($status.reason | text) // ($status.code | tostring) else null end),
        errorMessage: (if $has_failed then $status.message | text else null end),
        sourceIPAddress: (.sourceIPs | arrays[0] // null | ip),
        additionalEventData: {
            eks: del(
                .user, .impersonatedUser, .userAgent, .requestURI, .objectRef, .requestObject, .responseStatus,
                .responseObject
            )
        }
    };

# What a Secret holds, also in the annotation in which kubectl keeps the last one, and tokens on their way.
def secrets:
    (
        select(.objectRef.resource? == "secrets") | .requestObject, .responseObject | .. | objects
        | ((.data, .stringData, .value | ..), .["kubectl.kubernetes.io/last-applied-configuration"])
        | strings
    ),
    (.requestObject, .responseObject | objects | .spec, .status | objects | .token | strings);
