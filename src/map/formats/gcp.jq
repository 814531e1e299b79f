# Google Cloud Audit Logs, as log entries.
# https://cloud.google.com/logging/docs/audit/understanding-audit-logs

def matches:
    (.protoPayload | type == "object")
    and ((.logName | type == "string" and contains("cloudaudit.googleapis.com"))
        or .protoPayload["@type"] == "type.googleapis.com/google.cloud.audit.AuditLog");

# An insertId is unique only within one log and one moment.
def id: if .insertId | text then [.logName, .timestamp, .insertId] else . end;

# A call that nobody signed in for has no principal.
def actor:
    (.authenticationInfo | objects // {} | (.principalEmail | text) // (.principalSubject | text)) as $principal
    | if $principal == null then ["GoogleCloudPrincipal", "gcp:no-principal"]
      elif $principal | endswith("gserviceaccount.com") then ["GoogleCloudServiceAccount", $principal]
      else ["GoogleCloudUser", $principal] end;

def failed: .status.code? // 0 | . != 0 and . != "0";

# Of the members of an object those that say something; none is no object.
def present: with_entries(select(.value != null)) | select(length > 0) // null;

def event: .protoPayload as $call | {
    version: "1",
    userIdentity: (
        $call
        | actor as [$type, $who]
        | {type: $type, principalId: $who, details: ({authenticationInfo, authorizationInfo} | present)}
    ),
    userAgent: ($call.requestMetadata.callerSuppliedUserAgent? // null | text),
    eventSource: (($call.serviceName | text) // "cloudaudit.googleapis.com"),
    eventName: (($call.methodName | text) // error("protoPayload.methodName is absent")),
    eventTime: (.timestamp // .receiveTimestamp | utc),
    requestParameters: ($call | {request, metadata, serviceData} | present),
    responseElements: ($call | {response} | present),
    errorCode: ($call | if failed then .status.code | tostring else null end),
    errorMessage: ($call | if failed then .status.message | text else null end),
    sourceIPAddress: ($call.requestMetadata.callerIp? // null | ip),
    additionalEventData: {
        gcp: (
            del(
                .protoPayload
                | .request, .response, .metadata, .serviceData, .authenticationInfo, .authorizationInfo, .methodName
            )
        )
    }
};

# Keys and tokens that the answer to the one who asked for them holds.
def secrets:
    .protoPayload | objects | .request, .response | .. | objects
    | (.privateKeyData, .private_key_data, .privateKey, .private_key, .accessToken, .access_token, .refreshToken,
        .refresh_token, .idToken, .id_token, .keyString, .secretPayload, .clientSecret, .client_secret, .password)
    | strings;
