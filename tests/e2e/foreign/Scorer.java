import com.sun.net.httpserver.HttpServer;
import java.net.InetSocketAddress;
import java.net.URI;
import java.net.http.HttpClient;
import java.net.http.HttpRequest;
import java.net.http.HttpResponse;
import java.util.logging.Level;
import java.util.logging.Logger;

/** A server and its client, with nothing in it about telemetry: what is sent, the Java agent puts in. */
public class Scorer {
    private static final Logger LOG = Logger.getLogger("scorer");

    public static void main(String[] args) throws Exception {
        HttpServer server = HttpServer.create(new InetSocketAddress("127.0.0.1", 0), 0);
        server.createContext("/predict", exchange -> {
            LOG.info("scored");
            byte[] body = "ok".getBytes();
            exchange.sendResponseHeaders(200, body.length);
            exchange.getResponseBody().write(body);
            exchange.close();
        });
        server.start();
        URI uri = URI.create("http://127.0.0.1:" + server.getAddress().getPort() + "/predict");
        HttpClient client = HttpClient.newHttpClient();
        for (int n = 0; n < 5; n++) {
            client.send(HttpRequest.newBuilder(uri).build(), HttpResponse.BodyHandlers.ofString());
        }
        LOG.log(Level.WARNING, "no such class", new IllegalStateException("label 9"));
        server.stop(0);
    }
}
