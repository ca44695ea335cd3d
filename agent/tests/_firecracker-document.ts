/**
 * What Firecracker's published API document (src/firecracker/swagger/firecracker.yaml, 1.17) says of the
 * requests that change something, written by hand: path, method, when it is allowed, and the definition of
 * its body. Definitions bear the document's names. The document does not say that unknown fields are
 * refused; Firecracker does (its types deny them), and so do these.
 *
 * A checker of its own, since the program starts for each machine: a library takes half a second to load.
 */
/** Undefined: the value fits; otherwise where it does not, and why. */
type Check = ((value: unknown, at: string) => string | undefined) & { isOptional?: true };

const typed =
  (type: 'string' | 'boolean'): Check =>
  (value, at) =>
    typeof value === type ? undefined : `${at}: invalid type, expected a ${type}`;
const text = typed('string');
const flag = typed('boolean');
const integer =
  (minimum = 0, maximum = Number.MAX_SAFE_INTEGER): Check =>
  (value, at) =>
    Number.isSafeInteger(value) && Number(value) >= minimum && Number(value) <= maximum
      ? undefined
      : `${at}: expected an integer from ${minimum} to ${maximum}`;
const count = integer();
const oneOf =
  (...values: string[]): Check =>
  (value, at) =>
    typeof value === 'string' && values.includes(value)
      ? undefined
      : `${at}: unknown variant, expected one of ${values.join(', ')}`;
const optional = (check: Check): Check =>
  Object.assign((value: unknown, at: string) => check(value, at), { isOptional: true as const });
const listOf =
  (check: Check): Check =>
  (value, at) =>
    Array.isArray(value)
      ? value.map((one, index) => check(one, `${at}/${index}`)).find((why) => why !== undefined)
      : `${at}: expected a sequence`;

const closed =
  (properties: Readonly<Record<string, Check>>): Check =>
  (value, at) => {
    if (typeof value !== 'object' || value === null || Array.isArray(value)) {
      return `${at}: expected a map`;
    }
    for (const name of Object.keys(value)) {
      if (!Object.hasOwn(properties, name)) return `${at}/${name}: unknown field`;
    }
    for (const [name, check] of Object.entries(properties)) {
      const isThere = Object.hasOwn(value, name);
      if (!isThere && check.isOptional !== true) return `${at}/${name}: missing field`;
      const why = isThere
        ? check((value as Record<string, unknown>)[name], `${at}/${name}`)
        : undefined;
      if (why !== undefined) return why;
    }
    return undefined;
  };

const TokenBucket = closed({
  one_time_burst: optional(integer(0)),
  refill_time: integer(0),
  size: integer(0),
});
const RateLimiter = closed({ bandwidth: optional(TokenBucket), ops: optional(TokenBucket) });

const Balloon = closed({
  amount_mib: count,
  deflate_on_oom: flag,
  stats_polling_interval_s: optional(count),
  free_page_hinting: optional(flag),
  free_page_reporting: optional(flag),
});
const BootSource = closed({
  kernel_image_path: text,
  boot_args: optional(text),
  initrd_path: optional(text),
});
const Drive = closed({
  drive_id: text,
  is_root_device: flag,
  partuuid: optional(text),
  cache_type: optional(oneOf('Unsafe', 'Writeback')),
  is_read_only: optional(flag),
  path_on_host: optional(text),
  rate_limiter: optional(RateLimiter),
  io_engine: optional(oneOf('Sync', 'Async')),
  socket: optional(text),
});
const PartialDrive = closed({
  drive_id: text,
  path_on_host: optional(text),
  rate_limiter: optional(RateLimiter),
});
const InstanceActionInfo = closed({
  action_type: oneOf('FlushMetrics', 'InstanceStart', 'SendCtrlAltDel'),
});
const Logger = closed({
  level: optional(oneOf('Error', 'Warning', 'Info', 'Debug', 'Trace', 'Off')),
  log_path: optional(text),
  show_level: optional(flag),
  show_log_origin: optional(flag),
  module: optional(text),
});
const machine = {
  cpu_template: optional(oneOf('C3', 'T2', 'T2S', 'T2CL', 'T2A', 'V1N1', 'None')),
  smt: optional(flag),
  track_dirty_pages: optional(flag),
  huge_pages: optional(oneOf('None', 'Transparent', '2M')),
};
const vcpuCount = integer(1, 32);
const MachineConfiguration = closed({ ...machine, mem_size_mib: count, vcpu_count: vcpuCount });
const PartialMachineConfiguration = closed({
  ...machine,
  mem_size_mib: optional(count),
  vcpu_count: optional(vcpuCount),
});
const Metrics = closed({ metrics_path: text });
const NetworkInterface = closed({
  guest_mac: optional(text),
  host_dev_name: text,
  iface_id: text,
  mtu: optional(integer(68, 65535)),
  rx_rate_limiter: optional(RateLimiter),
  tx_rate_limiter: optional(RateLimiter),
});
const PartialNetworkInterface = closed({
  iface_id: text,
  rx_rate_limiter: optional(RateLimiter),
  tx_rate_limiter: optional(RateLimiter),
});
const EntropyDevice = closed({ rate_limiter: optional(RateLimiter) });
const SerialDevice = closed({
  serial_out_path: optional(text),
  rate_limiter: optional(TokenBucket),
});
const SnapshotCreateParams = closed({
  mem_file_path: text,
  snapshot_path: text,
  snapshot_type: optional(oneOf('Full', 'Diff')),
});
const SnapshotLoadParams = closed({
  enable_diff_snapshots: optional(flag),
  track_dirty_pages: optional(flag),
  mem_file_path: optional(text),
  mem_backend: optional(closed({ backend_type: oneOf('File', 'Uffd'), backend_path: text })),
  snapshot_path: text,
  resume_vm: optional(flag),
  network_overrides: optional(listOf(closed({ iface_id: text, host_dev_name: text }))),
  vsock_override: optional(closed({ uds_path: text })),
  clock_realtime: optional(flag),
});
const Vm = closed({ state: oneOf('Paused', 'Resumed') });
const Vsock = closed({
  guest_cid: integer(3),
  uds_path: text,
  vsock_id: optional(text),
});

/** `fresh`: before anything but logger and metrics is configured. */
export type Moment = 'pre-boot' | 'post-boot' | 'any' | 'fresh';

export type Operation = {
  when: Moment;
  /** The last part of the path, and the field of the body that has to be the same. */
  id?: string;
  /** Undefined: the body fits; otherwise where it does not, and why. */
  problem(body: unknown): string | undefined;
};

function operation(when: Moment, schema: Check, id?: string): Operation {
  return {
    when,
    ...(id === undefined ? {} : { id }),
    problem: (body) => schema(body, ''),
  };
}

/** By method and path; `*` stands for an id. */
export const OPERATIONS: ReadonlyMap<string, Operation> = new Map([
  ['PUT /actions', operation('any', InstanceActionInfo)],
  ['PUT /balloon', operation('pre-boot', Balloon)],
  ['PUT /boot-source', operation('pre-boot', BootSource)],
  ['PUT /drives/*', operation('pre-boot', Drive, 'drive_id')],
  ['PATCH /drives/*', operation('post-boot', PartialDrive, 'drive_id')],
  ['PUT /logger', operation('pre-boot', Logger)],
  ['PUT /machine-config', operation('pre-boot', MachineConfiguration)],
  ['PATCH /machine-config', operation('pre-boot', PartialMachineConfiguration)],
  ['PUT /metrics', operation('pre-boot', Metrics)],
  ['PUT /entropy', operation('pre-boot', EntropyDevice)],
  ['PUT /serial', operation('pre-boot', SerialDevice)],
  ['PUT /network-interfaces/*', operation('pre-boot', NetworkInterface, 'iface_id')],
  ['PATCH /network-interfaces/*', operation('post-boot', PartialNetworkInterface, 'iface_id')],
  ['PUT /snapshot/create', operation('post-boot', SnapshotCreateParams)],
  ['PUT /snapshot/load', operation('fresh', SnapshotLoadParams)],
  ['PATCH /vm', operation('post-boot', Vm)],
  ['PUT /vsock', operation('pre-boot', Vsock)],
]);
