# GitHub's audit log of organisations and enterprises: streamed, or from its REST API.
# https://docs.github.com/en/enterprise-cloud@latest/admin/monitoring-activity-in-your-enterprise

def matches:
    (.action | type == "string")
    and (has("eventName") or has("eventType") | not)
    and (
        (._document_id | type == "string")
        and (has("org") or has("business") or has("repo") or has("user") or has("actor"))
        or (.action | contains("."))
        and any(.["@timestamp"], .created_at; type == "number")
        and (has("org") or has("business") or has("actor_id"))
    );

# GitHub's own; what has none is told by all that it says.
def id: (._document_id | text) // .;

# Git events of deploy keys have no actor: then the organisation or enterprise is all that is known. Never `user`, which
# is whom the action was about.
def actor:
    [
        [(if .actor_is_bot == true then "GitHubBot" else "GitHubUser" end), (.actor | text)],
        ["GitHubUser", (.external_identity_nameid | text)],
        ["GitHubOrganization", (.org | if type == "array" then .[0] else . end | text)],
        ["GitHubBusiness", (.business | text)],
        ["GitHubSystem", "github:system"]
    ]
    | map(select(.[1]))[0];

# Of the members of an object those that say something; none is no object.
def present: with_entries(select(.value != null)) | select(length > 0) // null;

def event: {
    version: "1",
    userIdentity: (
        actor as [$type, $who]
        | {type: $type, principalId: $who, details: ({actor_id, business, org, repo, actor_location} | present)}
    ),
    userAgent: (.user_agent | text),
    eventSource: "github.audit.streaming",
    eventName: .action,
    eventTime: (.["@timestamp"] // .created_at // error("@timestamp and created_at are absent") | utc),
    requestParameters: (
        del(.action, .actor_id, .business, .org, .repo, .actor_location, ._document_id, .["@timestamp"]) | present
    ),
    sourceIPAddress: (.actor_ip | ip),
    additionalEventData: ({github: ({_document_id, "@timestamp"} | present)} | present)
};

# The hash of a token finds it again in a leaked list; a hook's secret signs its requests, and a hook can hold what opens
# another system.
def secrets:
    .. | objects
    | (.hashed_token, .secret, .token, .oauth_token, .access_token, .refresh_token, .auth_token, .api_key, .api_token,
        .client_secret, .private_key, .password, .authorization)
    | strings;
