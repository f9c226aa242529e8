//! One connection: `h2` driven by what comes, until it has nothing more to do.

use std::collections::HashMap;
use std::future::Future;
use std::pin::Pin;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::Arc;
use std::task::{Context, Poll, Wake, Waker};
use std::time::{Duration, Instant};

use bytes::Bytes;
use h2::server::{self, Handshake, SendResponse};
use h2::{Ping, PingPong, RecvStream};

use crate::grpc::frames::PingWatch;
use crate::grpc::message::{Message, Progress};
use crate::grpc::pipe::Pipe;
use crate::grpc::reply::{Reply, DEADLINE_EXCEEDED};
use crate::grpc::request::Head;

/// What all connections of a server have in common.
pub struct Settings {
    /// Paths of the methods that are served.
    pub methods: Vec<String>,
    /// Largest message on the wire, in bytes.
    pub max_message: usize,
    pub max_streams: u32,
    /// Bytes of requests that all connections and what comes after them may hold.
    pub max_in_flight: usize,
    pub min_ping_interval: Duration,
}

const STREAM_WINDOW: u32 = 1 << 20;
const CONNECTION_WINDOW: u32 = 4 << 20;
/// All headers of a request, as HTTP/2 counts them; gRPC servers take 8 to 16 KiB.
const MAX_HEADERS: u32 = 16 << 10;
const MAX_SEND_BUFFER: usize = 64 << 10;
/// GOAWAY on stream 0 with ENHANCE_YOUR_CALM; clients know the text and ping less often (proposal A8). `h2` sends none.
const TOO_MANY_PINGS: &[u8] = b"\0\0\x16\x07\0\0\0\0\0\x7f\xff\xff\xff\0\0\0\x0btoo_many_pings";

/// A request whose message is whole, or never will be.
pub struct Received {
    pub stream: u32,
    pub head: Head,
    pub content: Content,
}

pub enum Content {
    Whole(Message),
    /// The stream ended before the message did.
    Unfinished,
    /// There is no room for it now.
    Overloaded,
}

/// What came of some bytes.
#[derive(Default)]
pub struct Events {
    pub requests: Vec<Received>,
    /// Streams of former requests whose client waits for no reply any more.
    pub cancelled: Vec<u32>,
}

struct Woken(AtomicBool);

impl Wake for Woken {
    fn wake(self: Arc<Self>) {
        self.0.store(true, Ordering::Relaxed);
    }
}

enum State {
    Opening(Pin<Box<Handshake<Pipe, Bytes>>>),
    Open(Box<server::Connection<Pipe, Bytes>>),
    Closed,
}

/// A request that is being read.
struct Reading {
    head: Head,
    body: RecvStream,
    message: Message,
    reply: SendResponse<Bytes>,
    deadline: Option<Instant>,
}

pub struct Connection {
    settings: Arc<Settings>,
    pipe: Pipe,
    state: State,
    woken: Arc<Woken>,
    pings: PingWatch,
    own_pings: Option<PingPong>,
    reading: HashMap<u32, Reading>,
    /// Requests that were given out, whose reply is awaited.
    waiting: HashMap<u32, SendResponse<Bytes>>,
}

impl Connection {
    pub fn new(settings: Arc<Settings>) -> Self {
        let pipe = Pipe::default();
        let handshake = server::Builder::new()
            .max_concurrent_streams(settings.max_streams)
            .initial_window_size(STREAM_WINDOW)
            .initial_connection_window_size(CONNECTION_WINDOW)
            .max_header_list_size(MAX_HEADERS)
            .max_send_buffer_size(MAX_SEND_BUFFER)
            .handshake(pipe.clone());
        Connection {
            pings: PingWatch::new(settings.min_ping_interval),
            settings,
            pipe,
            state: State::Opening(Box::pin(handshake)),
            woken: Arc::new(Woken(AtomicBool::new(true))),
            own_pings: None,
            reading: HashMap::new(),
            waiting: HashMap::new(),
        }
    }

    /// Bytes of messages that are not whole yet.
    pub fn held(&self) -> usize {
        self.reading.values().map(|reading| reading.message.held()).sum()
    }

    /// Whether nothing more will be read; what is left to be sent is in `output`.
    pub fn closed(&self) -> bool {
        matches!(self.state, State::Closed)
    }

    /// Bytes for the peer.
    pub fn output(&mut self) -> Vec<u8> {
        self.flush();
        self.pipe.take_output()
    }

    /// Bytes of the peer. `others`: bytes of requests in flight anywhere else.
    pub fn receive(&mut self, data: Bytes, others: usize) -> Events {
        let too_many_pings = self.pings.too_many(&data);
        self.pipe.put(data);
        let events = self.advance(others);
        if too_many_pings && !self.closed() {
            self.pipe.append_output(TOO_MANY_PINGS);
            self.close();
        }
        events
    }

    /// Answers a request. One whose stream has ended is not there any more: nothing is done.
    pub fn reply(&mut self, stream: u32, reply: Reply) {
        if let Some(mut to) = self.waiting.remove(&stream) {
            self.pings.clear();
            let _ended = reply.send(&mut to);
        }
    }

    /// Has `h2` write what it was given. What it reads besides, if anything, is looked at when more comes.
    fn flush(&mut self) {
        let waker = Waker::from(Arc::clone(&self.woken));
        while self.woken.0.swap(false, Ordering::Relaxed) && !self.closed() {
            self.accept(&mut Context::from_waker(&waker));
        }
    }

    /// Takes no new streams, as soon as the peer knows; those that are open go on.
    pub fn drain(&mut self) {
        match &mut self.state {
            State::Open(connection) => {
                connection.graceful_shutdown();
                self.woken.0.store(true, Ordering::Relaxed);
            }
            _ => self.close(),
        }
    }

    /// Pings the peer. False where it has not answered the last one, or has not even begun to speak HTTP/2.
    pub fn ping(&mut self) -> bool {
        let State::Open(_) = &self.state else { return false };
        let Some(pings) = &mut self.own_pings else { return false };
        let mut context = Context::from_waker(Waker::noop());
        let _answer = pings.poll_pong(&mut context);
        pings.send_ping(Ping::opaque()).is_ok()
    }

    /// Ends requests that are not whole and whose client waits no longer.
    pub fn expire(&mut self) {
        let now = Instant::now();
        let late = |reading: &Reading| reading.deadline.is_some_and(|deadline| deadline <= now);
        let streams: Vec<u32> = self.reading.iter().filter(|(_, one)| late(one)).map(|(stream, _)| *stream).collect();
        for stream in streams {
            if let Some(mut reading) = self.reading.remove(&stream) {
                let _ended = Reply::error(DEADLINE_EXCEEDED, "deadline exceeded").send(&mut reading.reply);
            }
        }
    }

    fn close(&mut self) {
        self.state = State::Closed;
        self.own_pings = None;
        self.reading.clear();
        self.waiting.clear();
    }

    fn advance(&mut self, others: usize) -> Events {
        let mut events = Events::default();
        let waker = Waker::from(Arc::clone(&self.woken));
        let mut context = Context::from_waker(&waker);
        loop {
            self.woken.0.store(false, Ordering::Relaxed);
            self.accept(&mut context);
            if self.closed() {
                break;
            }
            self.read(&mut context, others, &mut events);
            self.waiting.retain(|stream, reply| {
                let ended = reply.poll_reset(&mut context).is_ready();
                if ended {
                    events.cancelled.push(*stream);
                }
                !ended
            });
            if !self.woken.0.load(Ordering::Relaxed) {
                break;
            }
        }
        events
    }

    /// Has `h2` read and write until there is nothing left to do; new requests are added to those that are read.
    fn accept(&mut self, context: &mut Context<'_>) {
        if let State::Opening(handshake) = &mut self.state {
            match handshake.as_mut().poll(context) {
                Poll::Pending => return,
                Poll::Ready(Err(_)) => return self.close(),
                Poll::Ready(Ok(mut connection)) => {
                    self.own_pings = connection.ping_pong();
                    self.state = State::Open(Box::new(connection));
                }
            }
        }
        while let State::Open(connection) = &mut self.state {
            match connection.poll_accept(context) {
                Poll::Pending => return,
                Poll::Ready(Some(Ok((request, reply)))) => self.begin(request, reply),
                Poll::Ready(None | Some(Err(_))) => self.close(),
            }
        }
    }

    fn begin(&mut self, request: http::Request<RecvStream>, mut reply: SendResponse<Bytes>) {
        match Head::of(&request, &self.settings.methods) {
            Err(refused) => {
                let _ended = refused.send(&mut reply);
            }
            Ok(head) => {
                let deadline = head.timeout.and_then(|timeout| Instant::now().checked_add(timeout));
                let stream = reply.stream_id().as_u32();
                let body = request.into_body();
                self.reading.insert(stream, Reading { head, body, message: Message::default(), reply, deadline });
            }
        }
    }

    fn read(&mut self, context: &mut Context<'_>, others: usize, events: &mut Events) {
        let streams: Vec<u32> = self.reading.keys().copied().collect();
        for stream in streams {
            let held = self.held();
            let Some(mut reading) = self.reading.remove(&stream) else { continue };
            let room = self.settings.max_in_flight.saturating_sub(others + held);
            let room = if others + held == reading.message.held() { usize::MAX } else { room };
            match reading.poll(context, &self.settings, room) {
                Next::More => {
                    self.reading.insert(stream, reading);
                }
                Next::Given(content) => {
                    let Reading { mut head, reply, deadline, .. } = reading;
                    head.timeout = deadline.map(|deadline| deadline.saturating_duration_since(Instant::now()));
                    self.waiting.insert(stream, reply);
                    events.requests.push(Received { stream, head, content });
                }
                Next::Refused(reply) => {
                    let _ended = reply.send(&mut reading.reply);
                }
                Next::Gone => {}
            }
        }
    }
}

enum Next {
    More,
    Given(Content),
    Refused(Reply),
    /// The stream was reset.
    Gone,
}

impl Reading {
    /// Reads what is there. `room`: bytes that may come in addition.
    fn poll(&mut self, context: &mut Context<'_>, settings: &Settings, mut room: usize) -> Next {
        loop {
            match self.body.poll_data(context) {
                Poll::Pending => return Next::More,
                Poll::Ready(None) => return Next::Given(Content::Unfinished),
                Poll::Ready(Some(Err(_))) => return Next::Gone,
                Poll::Ready(Some(Ok(data))) => {
                    let _ended = self.body.flow_control().release_capacity(data.len());
                    if data.len() > room {
                        return Next::Given(Content::Overloaded);
                    }
                    room -= data.len();
                    match self.message.push(data, settings.max_message, self.head.encoding.is_some()) {
                        Progress::More => {}
                        Progress::Whole => return Next::Given(Content::Whole(std::mem::take(&mut self.message))),
                        Progress::Refused(reply) => return Next::Refused(reply),
                    }
                }
            }
        }
    }
}
