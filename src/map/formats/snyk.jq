# Snyk's audit log: as the REST API tells it (org_id), or as the v1 API does (orgId).
# https://docs.snyk.io/snyk-api/reference/audit-logs
#
# Its events have no id, and several can share one millisecond. So all that an event says is its id, in one spelling of
# names and times, and it is the same by either API. Only v1 tells the group of an event of an organisation; as an
# organisation is in one group, the group counts only where there is no organisation.

# The names of the ids, as REST and as v1 spell them.
def spellings: ["org_id", "orgId"], ["group_id", "groupId"], ["project_id", "projectId"], ["user_id", "userId"];

# All that Snyk documents, and nothing besides: other systems have dotted events of organisations too.
def matches:
    (.event | type == "string" and contains("."))
    and (has("org_id") or has("orgId") or has("group_id") or has("groupId"))
    and (has("created") or has("content"))
    and keys - ["event", "created", "content", (spellings | .[])] == []
    and all(.[spellings | .[]]; . == null or type == "string");

def is_said: . != null and . != "";

# One spelling. Ids that are null or empty are absent; one that is spelled in both ways and differs is kept in both.
def one($rest; $v1):
    .[$rest] = [.[$rest], .[$v1] | select(is_said)][0]
    | if (.[$v1] | is_said) and .[$v1] != .[$rest] then . else del(.[$v1]) end;

def plain:
    {event, created} + .
    | one("org_id"; "orgId")
    | one("group_id"; "groupId")
    | one("project_id"; "projectId")
    | one("user_id"; "userId")
    | .content = (if .content == null then {} else .content end);

# 2024-01-31T23:59:59.58Z and 2024-01-31 23:59:59.580 are one moment; what is no such text stays as it is.
def moment:
    if type == "string" and contains(":") then
        (.[20:] | rtrimstr("Z")) as $digits
        | (utc | rtrimstr("Z") + "." + $digits + "000000000"[$digits | length:])? // .
    else . end;

def id:
    plain
    | .created = (.created | moment)
    | if .org_id != null then del(.group_id) else . end;

# In the order of trust. Who is only named by the content is marked as such: it may be whom the action was about.
def actor:
    if .user_id | text then ["SnykUser", .user_id]
    elif .content.userPublicId? // null | text then
        ["SnykUser", .content.userPublicId, {principalIdFrom: "content.userPublicId"}]
    else ["SnykSystem", "snyk:system"] end;

# Of the members of an object those that say something; none is no object.
def present: with_entries(select(.value != null)) | select(length > 0) // null;

# The content is beside the data, as in Snyk's own integration; there is room for 28 kB.
def is_large: .content | type == "object" and (tojson | utf8bytelength > 20000);

def event: plain | {
    version: "1",
    userIdentity: (actor as [$type, $who, $details] | {type: $type, principalId: $who, details: $details}),
    eventSource: "snyk.io",
    eventName: .event,
    eventTime: (.created // error("created is absent") | utc),
    requestParameters: (
        if is_large then .content
        else .content | if type == "object" and (has("before") or has("after")) then {before, after} else null end end
    ),
    additionalEventData: {
        snyk: (
            del(.event, if .user_id | text then .user_id else empty end, if is_large then .content else empty end)
            | present
        )
    }
};

# An invite link lets anybody in.
def secrets:
    .content?
    | (.. | strings | select(contains("://") and contains("invite"))),
      (.. | objects | (.inviteUrl, .inviteLink, .invite_url, .token, .apiToken, .secret, .clientSecret) | strings);
