//! gRPC's side of a server, for a transport in Python.

use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use bytes::Bytes;
use pyo3::prelude::*;
use pyo3::pybacked::PyBackedBytes;
use pyo3::types::PyBytes;

use crate::grpc::connection::{Connection, Content, Events, Received, Settings};
use crate::grpc::reply::Reply;
use crate::python::raw_bytes;

/// A request that has come, to be answered with `reply`.
#[pyclass(frozen, get_all, module = "sidecar_native")]
struct GrpcRequest {
    stream: u32,
    method: usize,
    message: Option<Py<PyBytes>>,
    overloaded: bool,
    encoding: Option<String>,
    user_agent: Option<String>,
    authorization: Option<String>,
    idempotency_key: Option<String>,
    timeout: Option<f64>,
}

impl GrpcRequest {
    fn of(py: Python<'_>, received: Received) -> PyResult<Self> {
        let Received { stream, head, content } = received;
        let (message, compressed) = match &content {
            Content::Whole(message) => {
                let bytes = PyBytes::new_with(py, message.len(), |out| {
                    message.write(out);
                    Ok(())
                })?;
                (Some(bytes.unbind()), message.compressed())
            }
            Content::Unfinished | Content::Overloaded => (None, false),
        };
        Ok(GrpcRequest {
            stream,
            method: head.method,
            message,
            overloaded: matches!(content, Content::Overloaded),
            encoding: head.encoding.filter(|_| compressed),
            user_agent: head.user_agent,
            authorization: head.authorization,
            idempotency_key: head.idempotency_key,
            timeout: head.timeout.map(|timeout| timeout.as_secs_f64()),
        })
    }
}

/// What came of some bytes.
#[pyclass(frozen, get_all, module = "sidecar_native")]
struct GrpcEvents {
    requests: Vec<Py<GrpcRequest>>,
    cancelled: Vec<u32>,
}

/// What all connections of a server have in common.
#[pyclass(frozen, module = "sidecar_native")]
struct GrpcServer(Arc<Settings>);

#[pymethods]
impl GrpcServer {
    #[new]
    fn new(
        methods: Vec<String>,
        max_message: usize,
        max_streams: u32,
        max_in_flight: usize,
        min_ping_interval: f64,
    ) -> PyResult<Self> {
        let min_ping_interval = Duration::try_from_secs_f64(min_ping_interval)
            .map_err(|error| pyo3::exceptions::PyValueError::new_err(error.to_string()))?;
        Ok(GrpcServer(Arc::new(Settings { methods, max_message, max_streams, max_in_flight, min_ping_interval })))
    }

    /// A client has connected.
    fn connect(&self) -> GrpcConnection {
        GrpcConnection(Mutex::new(Connection::new(Arc::clone(&self.0))))
    }
}

/// One connection. Its methods are quick, so that the interpreter lock is kept.
#[pyclass(frozen, module = "sidecar_native")]
struct GrpcConnection(Mutex<Connection>);

impl GrpcConnection {
    fn connection(&self) -> MutexGuard<'_, Connection> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

#[pymethods]
impl GrpcConnection {
    fn receive(&self, py: Python<'_>, data: PyBackedBytes, others: usize) -> PyResult<GrpcEvents> {
        let Events { requests, cancelled } = self.connection().receive(Bytes::from_owner(data), others);
        let requests =
            requests.into_iter().map(|one| Py::new(py, GrpcRequest::of(py, one)?)).collect::<PyResult<_>>()?;
        Ok(GrpcEvents { requests, cancelled })
    }

    fn reply(&self, stream: u32, body: Vec<u8>) {
        self.connection().reply(stream, Reply::ok(body));
    }

    fn refuse(&self, stream: u32, status: u32, text: &str, trailers: Vec<(String, Vec<u8>)>) {
        self.connection().reply(stream, Reply::error(status, text).with(trailers));
    }

    fn output(&self, py: Python<'_>) -> Py<PyBytes> {
        raw_bytes(py, &self.connection().output())
    }

    fn drain(&self) {
        self.connection().drain();
    }

    fn ping(&self) -> bool {
        self.connection().ping()
    }

    fn expire(&self) {
        self.connection().expire();
    }

    #[getter]
    fn held(&self) -> usize {
        self.connection().held()
    }

    #[getter]
    fn closed(&self) -> bool {
        self.connection().closed()
    }
}

pub fn add_to(module: &Bound<'_, PyModule>) -> PyResult<()> {
    module.add_class::<GrpcRequest>()?;
    module.add_class::<GrpcEvents>()?;
    module.add_class::<GrpcServer>()?;
    module.add_class::<GrpcConnection>()
}
