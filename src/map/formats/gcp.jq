# Google Cloud Audit Logs, as log entries.
# https://cloud.google.com/logging/docs/audit/understanding-audit-logs

def matches:
    (.logName | type == "string" and test("cloudaudit[.]googleapis[.]com")) and (.protoPayload | type == "object");

# An insertId is unique only within one log and one moment.
def id: if .insertId | text then [.logName, .timestamp, .insertId] else . end;

def actor:
    (.authenticationInfo | objects // {} | (.principalEmail | text) // (.principalSubject | text)) as $principal
    | if $principal == null then {type: "GoogleCloudPrincipal", principalId: "gcp:no-principal"}
      elif $principal | test("gserviceaccount[.]com$") then {type: "GoogleCloudServiceAccount", principalId: $principal}
      else {type: "GoogleCloudUser", principalId: $principal} end;

def failed: .status.code? // 0 | . != 0;

def event: .protoPayload as $call | {
    version: "1",
    userIdentity: (
        $call
        | actor + {details: ({authenticationInfo, authorizationInfo} | with_entries(select(.value != null)))}
    ),
    userAgent: ($call.requestMetadata.callerSuppliedUserAgent? // null | text),
    eventSource: (($call.serviceName | text) // "cloudaudit.googleapis.com"),
    eventName: (($call.methodName | text) // error("protoPayload.methodName is absent")),
    eventTime: (.timestamp // .receiveTimestamp | utc),
    requestParameters: (
        $call | {request, metadata, serviceData} | with_entries(select(.value != null)) | select(length > 0) // null
    ),
    responseElements: (if $call.response == null then null else {response: $call.response} end),
    errorCode: ($call | if failed then .status.code | tostring else null end),
    errorMessage: ($call | if failed then .status.message | text else null end),
    sourceIPAddress: ($call.requestMetadata | objects | .callerIp | ip),
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
    .protoPayload | .request, .response | .. | objects
    | (.privateKeyData, .private_key_data, .accessToken, .access_token, .secretPayload) | strings;
