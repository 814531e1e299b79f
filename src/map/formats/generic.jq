# Any audit event that says in common words what was done, when and by whom.
#
# A start, until a format of its own is written; docs/formats.md has the table of words.

# Only chosen, never told by content: these words are in events of every kind.
def matches: false;

# The first that is a text and not empty.
def said(words): [words | strings | text | values][0];

def id:
    said(.id, .uuid, .uid, .UID, .eventId, .event_id, .eventID)
    // error("no id: none of id, uuid, uid, eventId is a text");

def action: said(.action, .eventName, .event_name, .eventType, .event_type, .operation, .event, .type);

def time:
    [
        .time, .timestamp, .["@timestamp"], .eventTime, .event_time, .created_at, .createdAt, .created, .occurred_at,
        .occurredAt, .published, .date
        | select(. != null and . != "")
    ][0];

# Who it was, as text or as an object that names somebody.
def actor:
    said(
        (.actor, .user, .principal | ., (objects | .id, .email, .login, .username, .name)),
        .actorId, .actor_id, .userId, .user_id, .principalId, .principal_id, .username, .userName, .user_name, .email
    );

# A code that says that all went well is none.
def failure: said(.errorCode, .error_code | strings | select(test("^(0+|ok|none|succe(ss|ed).*)$"; "i") | not));

def event: {
    version: "1",
    userIdentity: {
        type: (if actor then "GenericUser" else "GenericUnnamed" end),
        principalId: (actor // "generic:no-actor")
    },
    userAgent: said(.userAgent, .user_agent),
    eventSource: (said(.eventSource, .event_source, .source, .service, .application, .app, .product) // "generic"),
    eventName: (action // error("no action: none of action, eventName, eventType, operation, event, type is a text")),
    eventTime: (time // error("no time: none of time, timestamp, eventTime, created, published, date is there") | utc),
    # The whole event: what was read above, and what was not.
    requestParameters: .,
    errorCode: failure,
    errorMessage: (if failure then said(.errorMessage, .error_message) else null end),
    sourceIPAddress: (
        [.ip, .ipAddress, .ip_address, .sourceIp, .source_ip, .sourceIPAddress, .clientIp, .client_ip | ip | values][0]
    )
};

def secrets:
    .. | objects
    | (.password, .secret, .token, .api_key, .apiKey, .access_token, .accessToken, .client_secret, .clientSecret)
    | strings;
