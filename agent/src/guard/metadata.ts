/**
 * The services of clouds, clusters and meshes that hand out a host's identity or name its inside, by
 * the cloud they belong to: addresses that no job may reach, whatever range they lie in and whatever
 * an operator opens. Data only, in canonical text (IPv6 as in RFC 5952).
 */

type MetadataAddress = {
  readonly cloud: string;
  readonly service: string;
  readonly address: string;
};

const METADATA_ADDRESSES: readonly MetadataAddress[] = [
  {
    cloud: 'AWS, Google Cloud, Azure, OpenStack and others',
    service: 'metadata service',
    address: '169.254.169.254',
  },
  { cloud: 'AWS', service: 'metadata service', address: 'fd00:ec2::254' },
  { cloud: 'AWS', service: 'resolver', address: '169.254.169.253' },
  { cloud: 'AWS', service: 'resolver', address: 'fd00:ec2::253' },
  { cloud: 'AWS', service: 'time service', address: '169.254.169.123' },
  { cloud: 'AWS', service: 'time service', address: 'fd00:ec2::123' },
  { cloud: 'AWS', service: 'licence service', address: '169.254.169.250' },
  { cloud: 'AWS', service: 'licence service', address: '169.254.169.251' },
  { cloud: 'AWS', service: 'licence service', address: 'fd00:ec2::250' },
  { cloud: 'AWS', service: 'licence service', address: 'fd00:ec2::240' },
  { cloud: 'AWS ECS', service: 'credential service', address: '169.254.170.2' },
  { cloud: 'AWS EKS', service: 'credential service', address: '169.254.170.23' },
  { cloud: 'AWS EKS', service: 'credential service', address: 'fd00:ec2::23' },
  { cloud: 'Google Kubernetes Engine', service: 'metadata service', address: '169.254.169.252' },
  { cloud: 'Google Cloud', service: 'metadata service', address: 'fd20:ce::254' },
  { cloud: 'Azure', service: 'wire server', address: '168.63.129.16' },
  { cloud: 'Alibaba Cloud', service: 'metadata service', address: '100.100.100.200' },
  { cloud: 'Alibaba Cloud', service: 'resolver', address: '100.100.2.136' },
  { cloud: 'Alibaba Cloud', service: 'resolver', address: '100.100.2.138' },
  { cloud: 'Tencent Cloud', service: 'metadata service', address: '169.254.0.23' },
  { cloud: 'Oracle Cloud Classic', service: 'metadata service', address: '192.0.0.192' },
  { cloud: 'Oracle Cloud', service: 'metadata service', address: 'fd00:c1::a9fe:a9fe' },
  { cloud: 'Scaleway', service: 'metadata service', address: '169.254.42.42' },
  { cloud: 'Scaleway', service: 'metadata service', address: 'fd00:42::42' },
  { cloud: 'Akamai (Linode)', service: 'metadata service', address: 'fd00:a9fe:a9fe::1' },
  { cloud: 'OpenStack', service: 'metadata service', address: 'fe80::a9fe:a9fe' },
  { cloud: 'Kubernetes', service: 'resolver of the node', address: '169.254.20.10' },
  { cloud: 'a Tailscale mesh', service: 'resolver', address: '100.100.100.100' },
];

/**
 * Names of such services under public suffixes. Some lead to public addresses that tell a host about
 * itself by who asks, so that no judgement of the address would refuse them.
 */
const METADATA_NAMES: readonly { readonly cloud: string; readonly name: string }[] = [
  { cloud: 'Equinix Metal', name: 'metadata.platformequinix.com' },
  { cloud: 'Equinix Metal', name: 'metadata.packet.net' },
  { cloud: 'IBM Cloud', name: 'api.metadata.cloud.ibm.com' },
  { cloud: 'Tencent Cloud', name: 'metadata.tencentyun.com' },
];

const BY_ADDRESS: ReadonlyMap<string, string> = new Map(
  METADATA_ADDRESSES.map(({ cloud, service, address }) => [address, `the ${service} of ${cloud}`]),
);
const BY_NAME: ReadonlyMap<string, string> = new Map(
  METADATA_NAMES.map(({ cloud, name }) => [name, `the metadata service of ${cloud}`]),
);

/** All of them, as text. */
export const METADATA_SERVICE_ADDRESSES: readonly string[] = [...BY_ADDRESS.keys()];

/** What the address is, for people; undefined when it is no such service. */
export function metadataServiceAt(canonicalAddress: string): string | undefined {
  return BY_ADDRESS.get(canonicalAddress);
}

/** @param name in lower case, without a trailing dot */
export function metadataServiceNamed(name: string): string | undefined {
  return BY_NAME.get(name);
}
