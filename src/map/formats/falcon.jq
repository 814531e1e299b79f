# CrowdStrike Falcon event streams: audit events of every type, and whatever else a stream carries.
# https://github.com/CrowdStrike/gofalcon/blob/main/falcon/models/streaming_models/models.go
#
# An offset is unique only within one feed of one customer; the feed is never in the event, the customer not always. So
# the whole content is the id: two feeds cannot collide, and an event that is read again is the same event.

def matches:
    (.metadata | type == "object") and (.event | type == "object")
    and (.metadata | (.eventType | type == "string") and (has("offset") or has("eventCreationTime")))
    # Of what only Falcon has, one.
    and (
        (.metadata | has("customerIDString") or (has("offset") and (.eventType | endswith("Event"))))
        or (.event | has("AuditKeyValues") or has("OperationName") or has("ServiceName"))
    );

def id: .;

# [{Key, ValueString}] as {key: value}; a key that comes twice has both values.
def table:
    def is_pair: type == "object" and (.Key | type == "string") and keys - ["Key", "ValueString"] == [];
    if type == "array" and all(.[]; is_pair) then
        group_by(.Key)
        | map({(.[0].Key): (map(.ValueString) | if length == 1 then .[0] else . end)})
        | add // {}
    elif type == "object" or . == null then .
    else {values: .} end;

# The first that says who it was. Of the audit's own keys only those of a stream name the actor: elsewhere an API client
# there is what was acted upon.
def actor($attributes; $audit):
    .event as $event
    | ($event.OperationName | type == "string" and startswith("stream")) as $is_stream
    | [
        ["FalconUser", ($event.UserId | text)],
        ["FalconApiClient", ($attributes.APIClientID | text)],
        ["FalconUser", ($event.UserName | text)],
        ["FalconUser", ($audit.actor_user | text)],
        ["FalconApiClient", ($audit.APIClientID | text | select($is_stream))],
        ["FalconApp", ($audit.appId | text | select($is_stream))],
        ["FalconSystem", "crowdstrike:system"]
    ]
    | map(select(.[1]))[0]
    | if .[1] | startswith("api-client-id:") then ["FalconApiClient", .[1]] else . end;

def event:
    (.event.Attributes | table) as $attributes
    | (.event.AuditKeyValues | table) as $audit
    | {
        version: ((.metadata.version | text) // "1.0"),
        userIdentity: (actor($attributes; $audit) as [$type, $who] | {type: $type, principalId: $who, details: $audit}),
        userAgent: (($attributes.user_agent | text) // ($audit.user_agent | text)),
        eventSource: "crowdstrike",
        eventName: ((.event.OperationName | text) // .metadata.eventType),
        # The first that is a time; none of them is no time.
        eventTime: ([.metadata.eventCreationTime, .event.UTCTimestamp, .event.StartTimestamp | utc?][0] | utc),
        # What the event says besides: as much as it likes, for there is more room than in additionalEventData.
        requestParameters: (
            .event
            | del(.AuditKeyValues)
            | if has("Attributes") then .Attributes = $attributes else . end
        ),
        errorCode: (
            if .event.Success | tostring | ascii_downcase == "false"
            then ($attributes.status_code | strings, numbers | tostring) // "Failure"
            else null end
        ),
        sourceIPAddress: ((.event.UserIp | ip) // (.event.SourceIp | ip)),
        additionalEventData: {falcon: del(.event)}
    };

# Addresses of requests can carry what opens the door, and so can what was set.
def is_secret: ascii_downcase | any(contains("secret", "password", "token"); .);

def secrets:
    (
        .event | .. | strings
        | select(contains("="))
        | select(ascii_downcase | any(contains("token=", "secret=", "password=", "api_key=", "apikey="); .))
    ),
    (
        .event | objects | .AuditKeyValues, .Attributes
        | (arrays | .[] | objects | select(.Key | strings | is_secret) | .ValueString),
          (objects | .[keys[] | select(is_secret)])
        | .. | strings
    );
