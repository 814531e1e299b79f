-- What were the latest ten events of one source, such as Snyk?
-- Change: the source.
SELECT
    eventTime,
    eventData.eventName AS name,
    eventData.userIdentity.principalId AS principal,
    eventData.additionalEventData AS more,
    eventData.uid AS uid
FROM $EDS_ID
WHERE eventTime >= '$FROM'
    AND eventTime < '$TO'
    AND eventData.eventSource = 'snyk.io'
ORDER BY eventTime DESC
LIMIT 10
