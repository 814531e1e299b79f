# Okta's System Log: as its API tells it, as a log stream does, or through EventBridge.
# https://developer.okta.com/docs/api/openapi/okta-management/management/tag/SystemLog/

def matches:
    (.eventType | type == "string") and has("published") and (.actor | type == "object")
    and (has("uuid") or has("legacyEventType") or has("outcome") or has("severity"))
    and (has("eventSource") | not);

def id: (.uuid | text) // .;

def failed: .outcome.result? | . == "FAILURE" or . == "DENY";

def event: {
    version: ((.version | text) // "0"),
    userIdentity: {
        type: ((.actor.type | text) // "OktaActor"),
        principalId: ((.actor.id | text) // (.actor.alternateId | text) // "okta:system"),
        details: (.actor | del(.type, .id))
    },
    userAgent: (.client.userAgent.rawUserAgent? // null | text),
    eventSource: "okta.system-log-events",
    eventName: .eventType,
    eventTime: (.published | utc),
    requestParameters: ({target, request, transaction, debugContext} | with_entries(select(.value != null))),
    responseElements: (if .outcome == null then null else {outcome} end),
    errorCode: (if failed then .outcome.result else null end),
    errorMessage: (if failed then .outcome.reason | text else null end),
    sourceIPAddress: (.client.ipAddress? // null | ip),
    additionalEventData: {
        okta: del(.actor, .eventType, .target, .request, .transaction, .debugContext, .outcome, .version)
    }
};

# Addresses that open a session.
def secrets:
    .debugContext.debugData? | objects | .[]
    | strings | select(test("[?&](stateToken|sessionToken|token|recoveryToken|activationToken|code)="; "i"));
