//! Shares tasks between connections: a server's is the same for each of its connections.

use std::sync::Arc;

use foldhash::HashMap;
use tracer_ebpf::record;

use crate::core::connection::Task;

/// With more, all are forgotten, and sharing starts again.
const MAX_TASKS: usize = 1024;

/// By process id.
#[derive(Debug, Default)]
pub(super) struct Tasks(HashMap<u32, Arc<Task>>);

impl Tasks {
    /// The task that a record names.
    pub(super) fn of_record(&mut self, record: &record::Task) -> Arc<Task> {
        match self.0.get(&record.pid) {
            Some(known) if **known == *record => Arc::clone(known),
            _ => self.share(record.into()),
        }
    }

    /// An equal task that is kept already, or this one.
    pub(super) fn share(&mut self, task: Task) -> Arc<Task> {
        if let Some(known) = self.0.get(&task.pid)
            && **known == task
        {
            return Arc::clone(known);
        }
        if self.0.len() >= MAX_TASKS {
            self.0.clear();
        }
        let task = Arc::new(task);
        self.0.insert(task.pid, Arc::clone(&task));
        task
    }
}
