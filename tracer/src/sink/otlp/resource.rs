//! Whose spans they are: the service, its process, its container, and the host.

use opentelemetry_proto::tonic::{common::v1::KeyValue, resource::v1::Resource};
use opentelemetry_semantic_conventions::attribute::{
    CONTAINER_ID, CONTAINER_NAME, CONTAINER_RUNTIME_NAME, HOST_ID, HOST_NAME, K8S_POD_UID,
    PROCESS_EXECUTABLE_NAME, PROCESS_LINUX_CGROUP, PROCESS_PID, PROCESS_USER_ID, SERVICE_NAME,
    TELEMETRY_SDK_LANGUAGE, TELEMETRY_SDK_NAME, TELEMETRY_SDK_VERSION,
};
use percent_encoding::percent_decode_str;
use upload_protocol::timeline::{ContainerRuntime, Process};

use super::attributes::Attributes;

/// What all resources of a run have in common.
#[derive(Clone, Debug, Default, PartialEq)]
pub(super) struct Common {
    /// By `OTEL_RESOURCE_ATTRIBUTES` and `OTEL_SERVICE_NAME`: they win over what the tracer finds.
    pub(super) chosen: Vec<(String, String)>,
    /// The host, if the connections are of this one: a capture and a recording may be of any.
    pub(super) host: Option<Host>,
}

#[derive(Clone, Debug, Default, PartialEq)]
pub(super) struct Host {
    pub(super) name: Option<String>,
    /// The machine's id (`/etc/machine-id`).
    pub(super) id: Option<String>,
    /// The id of its boot: its connections are others than those before.
    pub(super) boot: String,
}

impl Common {
    /// What distinguishes this host and its boot from others; empty where it is not known.
    pub(super) fn boot(&self) -> &str {
        self.host.as_ref().map_or("", |host| &host.boot)
    }

    /// The resource of a process's spans. The service is its systemd service, or else its name.
    pub(super) fn of(&self, process: &Process) -> Resource {
        let mut own = Attributes::default();
        let unit = process.unit.as_deref().filter(|unit| is_service(unit));
        let service = unit.or(process.comm.as_deref());
        // As the specification names a service that has no name.
        own.text(SERVICE_NAME, service.unwrap_or("unknown_service"));
        own.some_number(PROCESS_PID, process.pid);
        own.some_text(PROCESS_EXECUTABLE_NAME, process.comm.as_deref());
        own.some_number(PROCESS_USER_ID, process.uid);
        own.some_text(PROCESS_LINUX_CGROUP, process.cgroup.as_deref());
        own.some_text(CONTAINER_ID, process.container.as_deref());
        own.some_text(CONTAINER_NAME, process.container_name.as_deref());
        let runtime = process.container_runtime;
        own.some_text(CONTAINER_RUNTIME_NAME, runtime.map(ContainerRuntime::name));
        // Podman has pods of its own.
        if runtime != Some(ContainerRuntime::Podman) {
            own.some_text(K8S_POD_UID, process.pod.as_deref());
        }
        self.completed(own)
    }

    /// The resource of the tracer itself, which measures.
    pub(super) fn own(&self) -> Resource {
        let mut own = Attributes::default();
        own.text(SERVICE_NAME, "tracer");
        self.completed(own)
    }

    /// With what all resources have. What the user chose wins.
    fn completed(&self, mut own: Attributes) -> Resource {
        if let Some(host) = &self.host {
            own.some_text(HOST_NAME, host.name.as_deref());
            own.some_text(HOST_ID, host.id.as_deref());
        }
        own.text(TELEMETRY_SDK_NAME, "tracer");
        own.text(TELEMETRY_SDK_LANGUAGE, "rust");
        own.text(TELEMETRY_SDK_VERSION, env!("CARGO_PKG_VERSION"));
        let is_chosen = |name: &str| self.chosen.iter().any(|(key, _)| key == name);
        own.0
            .retain(|attribute: &KeyValue| !is_chosen(&attribute.key));
        for (key, value) in &self.chosen {
            own.text(key, value);
        }
        Resource {
            attributes: own.0,
            ..Resource::default()
        }
    }
}

/// `key=value` pairs with commas between them, whose values are percent-encoded: `OTEL_RESOURCE_ATTRIBUTES` (OpenTelemetry's
/// specification, "Resource SDK"). The SDK's own reader leaves them encoded.
pub(super) fn pairs(text: &str) -> Vec<(String, String)> {
    let pairs = text.split(',').filter_map(|pair| {
        let (key, value) = pair.split_once('=')?;
        let value = percent_decode_str(value.trim()).decode_utf8_lossy();
        Some((key.trim().to_owned(), value.into_owned()))
    });
    pairs.collect()
}

/// Whether a unit of systemd is a service: a session of a user is none, and neither is what runs in it.
fn is_service(unit: &str) -> bool {
    unit.ends_with(".service") && !unit.starts_with("user@")
}

#[cfg(test)]
mod tests {
    use opentelemetry_proto::tonic::common::v1::any_value::Value;
    use upload_protocol::timeline::{ContainerRuntime, Process};

    use super::{Common, Host, pairs};

    fn of(common: &Common, process: &Process) -> Vec<String> {
        let attributes = common.of(process).attributes.into_iter();
        let text = |value| match value {
            Value::StringValue(text) => text,
            Value::IntValue(number) => number.to_string(),
            other => panic!("{other:?}"),
        };
        attributes
            .map(|one| format!("{}={}", one.key, text(one.value.unwrap().value.unwrap())))
            .filter(|one| !one.starts_with("telemetry.sdk."))
            .collect()
    }

    #[test]
    fn a_process_in_a_pod() {
        let process = Process {
            pid: Some(7),
            comm: Some("nginx".into()),
            uid: Some(33),
            container: Some("c0".to_owned()),
            container_runtime: Some(ContainerRuntime::Containerd),
            pod: Some("p0".to_owned()),
            unit: Some("kubelet.service".to_owned()),
            ..Process::default()
        };
        let common = Common {
            chosen: Vec::new(),
            host: Some(Host {
                name: Some("node".to_owned()),
                id: Some("m0".to_owned()),
                boot: "b0".to_owned(),
            }),
        };
        assert_eq!(
            of(&common, &process),
            [
                "service.name=kubelet.service",
                "process.pid=7",
                "process.executable.name=nginx",
                "process.user.id=33",
                "container.id=c0",
                "container.runtime.name=containerd",
                "k8s.pod.uid=p0",
                "host.name=node",
                "host.id=m0",
            ]
        );
    }

    #[test]
    fn the_variable_s_pairs() {
        let found = pairs("a=b%20c%2Cd, e.f = g ,wrong,h=");
        let found: Vec<_> = found
            .iter()
            .map(|(key, value)| (&**key, &**value))
            .collect();
        assert_eq!(found, [("a", "b c,d"), ("e.f", "g"), ("h", "")]);
        assert!(pairs("").is_empty());
    }

    #[test]
    fn what_the_environment_chooses_wins() {
        let chosen = [("service.name", "shop"), ("host.name", "h"), ("a", "b")];
        let common = Common {
            chosen: chosen
                .map(|(key, value)| (key.to_owned(), value.to_owned()))
                .into(),
            host: Some(Host {
                name: Some("node".to_owned()),
                ..Host::default()
            }),
        };
        let found = of(&common, &Process::default());
        assert_eq!(found, ["service.name=shop", "host.name=h", "a=b"]);
        let in_session = Process {
            unit: Some("session-3.scope".to_owned()),
            comm: Some("curl".into()),
            ..Process::default()
        };
        let found = of(&Common::default(), &in_session);
        assert_eq!(found[0], "service.name=curl");
        let nothing = of(&Common::default(), &Process::default());
        assert_eq!(nothing, ["service.name=unknown_service"]);
    }
}
