-- Who changed what a bucket in S3 allows, keeps or copies?
-- Change: the list of names, if fewer or more changes matter to you.
SELECT
    eventTime,
    eventData.eventName AS name,
    element_at(eventData.requestParameters, 'bucketName') AS bucket,
    eventData.userIdentity.principalId AS principal,
    eventData.sourceIPAddress AS address,
    eventData.errorCode AS errorCode
FROM $EDS_ID
WHERE eventTime >= '$FROM'
    AND eventTime < '$TO'
    AND eventData.eventSource = 's3.amazonaws.com'
    AND eventData.eventName IN (
        'PutBucketAcl',
        'PutBucketPolicy',
        'PutBucketCors',
        'PutBucketLifecycle',
        'PutBucketReplication',
        'PutBucketPublicAccessBlock',
        'DeleteBucketPolicy',
        'DeleteBucketCors',
        'DeleteBucketLifecycle',
        'DeleteBucketReplication',
        'DeleteBucketPublicAccessBlock'
    )
ORDER BY eventTime DESC
