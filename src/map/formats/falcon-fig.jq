# CrowdStrike Falcon events as the Falcon Integration Gateway (FIG) maps them, for lakes that have its events.
# https://github.com/CrowdStrike/falcon-integration-gateway/tree/main/fig/backends/cloudtrail_lake
#
# Field by field what FIG sends. It differs where FIG sends nothing or what the lake refuses:
# - an absent UserId, OperationName or version is a KeyError there, and the event lost: here another member stands in;
# - a UserIp that is empty or absent: here there is no sourceIPAddress;
# - times in seconds, which are in January 1970 there, and times as text or only in UTCTimestamp: here they are read;
# - `raw` above what additionalEventData may hold: here it stands in requestParameters;
# - an offset is unique only within a feed of a customer. The UID stays FIG's, duplicates are told by the whole content.
# FIG publishes only events of the service "CrowdStrike Authentication": which events come here is for a route to say.

# Only chosen, never told by content: the format `falcon` reads the same events.
def matches: false;

def id: .;

# FIG's queue sends "fig/app/feed" as the message group; other producers may say the feed in an attribute.
def feed:
    ($message.group // "" | split("/") | select(length == 3 and .[0] == "fig")[2])
    // ($message.attributes // {} | .feed // .feed_id);

def principal:
    (.event.UserId | text)
    // (.event.Attributes | objects | .APIClientID | text)
    // (.event.UserName | text)
    // "crowdstrike:system";

def fits: tojson | utf8bytelength < 27000;

def event:
    if [.metadata, .event | type] != ["object", "object"] then error("metadata or event is no object") else
    {
        version: ((.metadata.version | text) // "1.0"),
        userIdentity: {
            type: .metadata.eventType,
            principalId: principal,
            details: {AuditKeyValues: (.event.AuditKeyValues | if . == null or . == [] then "n/a" else . end)}
        },
        userAgent: "falcon-integration-gateway",
        eventSource: "crowdstrike",
        eventName: ((.event.OperationName | text) // .metadata.eventType),
        eventTime: ([.metadata.eventCreationTime, .event.UTCTimestamp | utc?][0] | utc),
        UID: (
            .metadata.offset as $offset | feed as $feed
            | if $feed and $offset != null then "\($feed)_\($offset)" else null end
        ),
        sourceIPAddress: (.event.UserIp | ip),
        requestParameters: (if fits then null else {raw: .} end),
        additionalEventData: (if fits then {raw: .} else null end)
    }
    end;

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
