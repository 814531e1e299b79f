-- In which events did a value not fit the lake's schema, so that Tributary had to move it or to choose another?
-- Change: nothing. Nothing is lost: what was moved stands in the column "moved", as it came.
SELECT
    eventTime,
    eventData.eventSource AS source,
    eventData.eventName AS name,
    eventData.uid AS uid,
    json_format(json_extract(element_at(eventData.additionalEventData, 'tributary'), '$.moved')) AS moved,
    json_extract_scalar(element_at(eventData.additionalEventData, 'tributary'), '$.principalIdFrom') AS principalIdFrom
FROM $EDS_ID
WHERE eventTime >= '$FROM'
    AND eventTime < '$TO'
    AND (
        json_extract(element_at(eventData.additionalEventData, 'tributary'), '$.moved') IS NOT NULL
        OR json_extract_scalar(
            element_at(eventData.additionalEventData, 'tributary'), '$.principalIdFrom'
        ) IS NOT NULL
    )
ORDER BY eventTime DESC
