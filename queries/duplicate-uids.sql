-- Which events stand in the lake more than once?
-- Change: nothing. The lake itself recognises no duplicates: any row here came twice to PutAuditEvents.
SELECT
    eventData.uid AS uid,
    metadata.channelARN AS channel,
    count(*) AS copies,
    array_join(array_sort(array_agg(eventID)), ', ') AS eventIDs,
    min(metadata.ingestionTime) AS firstIngested,
    max(metadata.ingestionTime) AS lastIngested
FROM $EDS_ID
WHERE eventTime >= '$FROM'
    AND eventTime < '$TO'
GROUP BY eventData.uid, metadata.channelARN
HAVING count(*) > 1
ORDER BY copies DESC, uid
