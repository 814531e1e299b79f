// Types that hold Grafana's own for a dashboard as it stands in a JSON file; grafana.py appends the dashboards.

import type { Dashboard as InCode } from '@grafana/schema/dist/esm/raw/dashboard/x/Dashboard_types.gen';
import type { Options as StatInCode } from '@grafana/schema/dist/esm/raw/composable/stat/panelcfg/x/StatPanelCfg_types.gen';
import type { Options as BarsInCode } from '@grafana/schema/dist/esm/raw/composable/bargauge/panelcfg/x/BarGaugePanelCfg_types.gen';
import type { Options as TimeInCode, FieldConfig as LineInCode } from '@grafana/schema/dist/esm/raw/composable/timeseries/panelcfg/x/TimeSeriesPanelCfg_types.gen';

/** In JSON the members of an enumeration are the texts and numbers that they stand for. */
type InJson<T> = T extends string
  ? `${T}`
  : T extends number
    ? number extends T
      ? number
      : `${T}` extends `${infer N extends number}`
        ? N
        : T
    : T extends (infer Item)[]
      ? InJson<Item>[]
      : T extends object
        ? { [Key in keyof T]: InJson<T[Key]> }
        : T;

type Dashboard = InJson<InCode>;
type Options_stat = InJson<Partial<StatInCode>>;
type Options_bargauge = InJson<Partial<BarsInCode>>;
type Options_timeseries = InJson<Partial<TimeInCode>>;
type Custom_timeseries = InJson<Partial<LineInCode>>;
