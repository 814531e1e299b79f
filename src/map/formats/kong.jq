# Kong Gateway's audit log, from its Admin API: requests (/audit/requests) and changed entities (/audit/objects).
# https://docs.konghq.com/gateway/latest/kong-enterprise/audit-log/

def is_object: has("dao_name");

def matches:
    has("request_id")
    and ((has("method") and has("path") and has("request_timestamp")) or (has("dao_name") and has("operation")));

# All but what counts down the entry's days: an entry that is read from the API again is the same entry.
def id: del(.ttl);

def action:
    if is_object then "\(.operation) \(.dao_name)"
    else "\(.method) " + ((.path | text) // error("path is no text") | split("?")[0]) end;

# Without RBAC Kong does not know who it was.
def actor:
    (.rbac_user_id | text) as $user
    | if $user then ["KongRbacUser", $user] else ["KongAdminApi", "kong:no-rbac-user"] end;

# Of the members of an object those that say something; none is no object.
def present: with_entries(select(.value != null)) | select(length > 0) // null;

def event: {
    version: "1",
    userIdentity: (
        actor as [$type, $who] | {type: $type, principalId: $who, details: ({rbac_user_name} | present)}
    ),
    eventSource: "kong-gateway",
    eventName: action,
    eventTime: (.request_timestamp // error("request_timestamp is absent") | utc),
    # One request can change several entities, and each is an entry of its own.
    UID: (if is_object then .id else .request_id end | text),
    requestParameters: (
        if is_object then {entity, entity_key}
        else {path, query: (.path | split("?")[1:] | join("?") | text), payload} end
        | present
    ),
    errorCode: (if .status | type == "number" and . >= 400 then .status | tostring else null end),
    sourceIPAddress: (.client_ip | ip),
    additionalEventData: {
        kong: (del(.path, .payload, .entity, .entity_key, .rbac_user_id, .rbac_user_name) | present)
    }
};

# The signature, what entities of these kinds are made of, and addresses that hold what opens a door.
def secrets:
    (.signature | strings),
    (
        select(.dao_name | strings | test("credential|secret|token|certificate|key|rbac_user|admin|plugin|vault|event_hook|license"))
        | .entity | .. | strings
    ),
    (
        select(.path | strings | test("/(key-auth|basic-auth|hmac-auth|jwt|oauth2|certificates|ca_certificates"
            + "|keys|key-sets|rbac|admins|plugins|vaults|event-hooks|licenses)"))
        | .payload | .. | strings
    ),
    (
        .path | strings | select(contains("="))
        | select(ascii_downcase | any(contains("key=", "token=", "secret=", "password="); .))
    );
