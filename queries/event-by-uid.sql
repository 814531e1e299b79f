-- Is this one event in the lake, when did it come there, and what does it say?
-- Change: the UID. It is the id that the producer gave (eventID of a CloudTrail record, UID of an event in the lake's schema).
SELECT
    eventID,
    eventTime,
    metadata.ingestionTime AS ingestionTime,
    metadata.channelARN AS channel,
    eventData.eventSource AS source,
    eventData.eventName AS name,
    eventData.userIdentity.principalId AS principal,
    eventData.errorCode AS errorCode,
    eventData.requestParameters AS request,
    eventData.responseElements AS response,
    eventData.additionalEventData AS more
FROM $EDS_ID
WHERE eventTime >= '$FROM'
    AND eventTime < '$TO'
    AND eventData.uid = 'd44c481f-edb8-4aa6-91a3-5679baa2871f'
ORDER BY metadata.ingestionTime
