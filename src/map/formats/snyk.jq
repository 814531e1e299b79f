# Snyk audit log, of REST and v1. Placeholder until the real mapping is here.
def matches: has("event") and has("created") and (has("content"));
def id: {event, created, content};
def event: {
    version: "1",
    userIdentity: {type: "SnykUser", principalId: (.user_id // .userId // "snyk:system")},
    eventSource: "snyk.io",
    eventName: .event,
    eventTime: (.created | utc),
    additionalEventData: {snyk: .}
};
