/** Exceptions of Java, by the name that is given. */
public class Traces {
    static class Model implements AutoCloseable {
        public void close() {
            throw new IllegalStateException("close failed\nsecond line");
        }
    }

    static void open() throws Exception {
        throw new java.io.FileNotFoundException("model.onnx");
    }

    static void load() {
        try (Model model = new Model()) {
            open();
        } catch (Exception e) {
            throw new RuntimeException("cannot load\nsecond line of the message", e);
        }
    }

    public static void main(String[] names) throws Exception {
        switch (names[0]) {
            case "uncaught":
                load();
                break;
            case "printed":
                System.err.println("INFO before");
                try {
                    load();
                } catch (RuntimeException e) {
                    e.printStackTrace();
                }
                System.err.println("INFO after");
                break;
            case "thread":
                Thread thread = new Thread(Traces::load, "scorer");
                thread.start();
                thread.join();
                break;
            case "null_pointer":
                String text = null;
                text.length();
        }
    }
}
