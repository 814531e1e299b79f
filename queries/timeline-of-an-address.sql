-- What happened from one address, in AWS and everywhere else, in order?
-- Change: the address, in two places, and $AWS_EDS_ID, an event data store of CloudTrail's own events.
SELECT eventTime, eventSource AS source, eventName AS name, userIdentity.arn AS principal, errorCode
FROM $AWS_EDS_ID
WHERE eventTime >= '$FROM'
    AND eventTime < '$TO'
    AND sourceIPAddress = '203.0.113.7'
UNION ALL
SELECT
    eventTime,
    eventData.eventSource AS source,
    eventData.eventName AS name,
    eventData.userIdentity.principalId AS principal,
    eventData.errorCode AS errorCode
FROM $EDS_ID
WHERE eventTime >= '$FROM'
    AND eventTime < '$TO'
    AND eventData.sourceIPAddress = '203.0.113.7'
ORDER BY eventTime, source, name
