use super::*;
use crate::tcp::End;

#[test]
fn missing_fields_are_unknown() {
    let timeline: Timeline = serde_json::from_str("{}").unwrap();
    assert!(timeline.phases.is_empty() && timeline.bytes.client_to_server.is_none());
}

#[test]
fn additions_of_a_later_version_are_passed_over() {
    let later = r#"{"phases":[{"name":"a later one"},{"name":"termination","how":null,
        "steps":[{"name":"FIN","from":"server","certainty":"a new one"},{"name":"NEW"}]}],
        "incomplete":["it was still open","a new reason"],"and":["more"]}"#;
    let timeline: Timeline = serde_json::from_str(later).unwrap();
    let [step] = &timeline.termination().unwrap().steps[..] else {
        panic!("one step is known");
    };
    assert_eq!(
        (step.from, step.certainty),
        (End::Server, Certainty::Unknown)
    );
    assert_eq!(timeline.incomplete, [Incomplete::StillOpen]);
}

#[test]
fn evidence_is_read_as_it_is_written() {
    for text in [
        "cgroup_skb egress, client",
        "cgroup_skb ingress, server",
        "client CLOSE→SYN_SENT",
        "server SYN_RECV→ESTABLISHED",
        "tcp_send_reset",
    ] {
        let evidence: Evidence = text.parse().unwrap();
        assert_eq!(evidence.to_string(), text);
        let is_tracepoint = matches!(evidence, Evidence::Tracepoint(_));
        assert_eq!(is_tracepoint, text.starts_with("tcp_"), "{text}");
    }
}
