# Okta's System Log: as its API tells it, as a log stream does, or through EventBridge.
# https://developer.okta.com/docs/api/openapi/okta-management/management/tag/SystemLog/

def matches:
    (.eventType | type == "string") and has("published") and (.actor | type == "object")
    and (.uuid | type == "string")
    and (has("legacyEventType") or has("outcome")
        or (.severity | . == "DEBUG" or . == "INFO" or . == "WARN" or . == "ERROR"))
    and (has("eventSource") | not);

def id: (.uuid | text) // .;

def failed: .outcome.result? // null | . == "FAILURE" or . == "DENY";

# Of the members of an object those that say something; none is no object.
def present: with_entries(select(.value != null)) | select(length > 0) // null;

def event: {
    version: ((.version | text) // "0"),
    userIdentity: {
        type: ((.actor.type | text) // "OktaActor"),
        principalId: ((.actor.id | text) // (.actor.alternateId | text) // "okta:system"),
        details: (.actor | del(.type, .id) | present)
    },
    userAgent: ((.client.userAgent.rawUserAgent)? // null | text),
    eventSource: "okta.system-log-events",
    eventName: .eventType,
    eventTime: (.published | utc),
    requestParameters: ({target, request, transaction, debugContext} | present),
    responseElements: ({outcome} | present),
    errorCode: (if failed then .outcome.result else null end),
    errorMessage: (if failed then .outcome.reason | text else null end),
    sourceIPAddress: (.client.ipAddress? // null | ip),
    additionalEventData: {
        okta: del(.actor, .eventType, .target, .request, .transaction, .debugContext, .outcome, .version)
    }
};

# Addresses that open a session.
def secrets:
    .debugContext.debugData? | objects | .[] | strings
    | select(contains("=") and any(contains("Token=", "token=", "code="); .));
