# Any audit event that says in common words what was done, when and by whom.
#
# A start, until a format of its own is written; docs/formats.md has the table of words.

# Only chosen, never told by content: these words are in events of every kind.
def matches: false;

# The first that is a text and not empty.
def said(words): [words | strings | text | values][0];

# The first that is such a text, or a number.
def told(words): [words | (strings | text | values), (numbers | tostring)][0];

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
    told(
        (.actor, .user, .principal | ., (objects | .id, .email, .login, .username, .name)),
        .actorId, .actor_id, .userId, .user_id, .principalId, .principal_id, .username, .userName, .user_name, .email
    );

# A code that says that all went well is none.
def failure:
    told(
        .errorCode, .error_code
        | select(tostring | test("^(0+|2[0-9][0-9]|ok|none|succe(ss|ed).*)$"; "i") | not)
    );

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

# `refresh_token`, `refreshToken`, `Refresh-Token` are one name.
def is_secret:
    {
        password: 1, passwd: 1, passphrase: 1, secret: 1, token: 1, apikey: 1, xapikey: 1, apitoken: 1, apisecret: 1,
        accesstoken: 1, refreshtoken: 1, idtoken: 1, authtoken: 1, oauthtoken: 1, bearertoken: 1, sessiontoken: 1,
        authorization: 1, proxyauthorization: 1, cookie: 1, setcookie: 1, clientsecret: 1, secretkey: 1,
        secretaccesskey: 1, privatekey: 1, signingkey: 1
    }[ascii_downcase | split("_") | join("") | split("-") | join("")] != null;

def secrets: .. | objects | .[keys[] | select(is_secret)] | ., arrays[]? | strings;
