-- Who is active in more than one place: in AWS itself and in the sources that came through Tributary?
-- Change: $AWS_EDS_ID, an event data store of CloudTrail's own events. People have several names: add a CASE where
-- you know which belong together.
SELECT
    principal,
    count(DISTINCT source) AS sources,
    array_join(array_sort(array_agg(DISTINCT source)), ', ') AS names,
    count(*) AS events,
    max(eventTime) AS lastTime
FROM (
    SELECT userIdentity.principalId AS principal, eventSource AS source, eventTime
    FROM $AWS_EDS_ID
    WHERE eventTime >= '$FROM'
        AND eventTime < '$TO'
    UNION ALL
    SELECT eventData.userIdentity.principalId AS principal, eventData.eventSource AS source, eventTime
    FROM $EDS_ID
    WHERE eventTime >= '$FROM'
        AND eventTime < '$TO'
) AS everywhere
WHERE principal IS NOT NULL
GROUP BY principal
HAVING count(DISTINCT source) > 1
ORDER BY sources DESC, principal
