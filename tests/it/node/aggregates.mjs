// Aggregates as AWS's aggregator for Node makes them. Argument: the folder of node_modules.
// In: [[{"partition_key", "explicit_hash_key" (or null), "data" (base64)}, ...], ...] on standard input. Out: for each
// list {"aggregate" (base64), "hash_keys" (decimal, one for each record)}.
import { createHash } from 'node:crypto';
import { readFileSync } from 'node:fs';
import { createRequire } from 'node:module';

const { RecordAggregator } = createRequire(`${process.argv[2]}/`)('aws-kinesis-agg');

function hashKey({ partition_key, explicit_hash_key }) {
  return explicit_hash_key ?? BigInt(`0x${createHash('md5').update(partition_key).digest('hex')}`).toString();
}

function aggregated(records) {
  const aggregator = new RecordAggregator();
  for (const { partition_key, explicit_hash_key, data } of records) {
    const explicitHashKey = explicit_hash_key ?? undefined;
    aggregator.addUserRecord({ partitionKey: partition_key, explicitHashKey, data: Buffer.from(data, 'base64') });
  }
  return { aggregate: aggregator.build().data.toString('base64'), hash_keys: records.map(hashKey) };
}

console.log(JSON.stringify(JSON.parse(readFileSync(0, 'utf8')).map(aggregated)));
