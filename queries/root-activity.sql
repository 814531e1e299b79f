-- What did anybody do as the root user of an AWS account?
-- Change: nothing. What a service did in root's name is left out.
SELECT
    eventTime,
    eventData.eventSource AS source,
    eventData.eventName AS name,
    element_at(eventData.userIdentity.details, 'accountId') AS account,
    eventData.sourceIPAddress AS address,
    eventData.userAgent AS agent
FROM $EDS_ID
WHERE eventTime >= '$FROM'
    AND eventTime < '$TO'
    AND eventData.userIdentity.type = 'Root'
    AND element_at(eventData.userIdentity.details, 'invokedBy') IS NULL
    AND json_extract_scalar(
        element_at(eventData.additionalEventData, 'tributary'), '$.unmapped.eventType'
    ) IS DISTINCT FROM 'AwsServiceEvent'
ORDER BY eventTime DESC
