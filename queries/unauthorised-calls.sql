-- Which calls did AWS refuse for want of permission, and from where did they come?
-- Change: the list of addresses that are known to be harmless. The address is the one in the original record, which may
-- be the name of a service; the lake's own field takes IP addresses only.
SELECT
    eventTime,
    eventData.eventSource AS source,
    eventData.eventName AS name,
    eventData.errorCode AS errorCode,
    eventData.userIdentity.principalId AS principal,
    coalesce(
        eventData.sourceIPAddress,
        json_extract_scalar(element_at(eventData.additionalEventData, 'tributary'), '$.moved.sourceIPAddress')
    ) AS address
FROM $EDS_ID
WHERE eventTime >= '$FROM'
    AND eventTime < '$TO'
    AND (eventData.errorCode LIKE '%AccessDenied%' OR eventData.errorCode LIKE '%UnauthorizedOperation')
    AND coalesce(
        eventData.sourceIPAddress,
        json_extract_scalar(element_at(eventData.additionalEventData, 'tributary'), '$.moved.sourceIPAddress'),
        ''
    ) NOT IN ('delivery.logs.amazonaws.com')
ORDER BY eventTime DESC
