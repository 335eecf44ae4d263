import java.io.BufferedReader;
import java.io.InputStreamReader;
import java.net.InetSocketAddress;
import java.nio.charset.StandardCharsets;
import java.util.ArrayList;
import java.util.Date;
import java.util.List;
import java.util.Objects;
import net.spy.memcached.MemcachedClient;

/** Stores and reads values by spymemcached: `values.java spymemcached HOST PORT`, and lines `set|get KEY KIND HEX`. */
public class values {
    public static void main(String[] args) throws Exception {
        MemcachedClient client = new MemcachedClient(new InetSocketAddress(args[1], Integer.parseInt(args[2])));
        BufferedReader lines = new BufferedReader(new InputStreamReader(System.in, StandardCharsets.US_ASCII));
        String said = "done";
        for (String line; said.equals("done") && (line = lines.readLine()) != null; ) {
            String[] words = line.split(" ", -1);
            String key = words[1];
            Object value = value(words[2], bytes(words[3]), words[0].equals("get"));
            if (words[0].equals("set")) {
                said = client.set(key, 0, value).get() ? said : key;
            } else {
                Object read = client.get(key);
                said = Objects.deepEquals(read, value) ? said : key + " " + words[2] + ": " + read + " " + value;
            }
        }
        client.shutdown();
        System.out.println(said);
    }

    private static byte[] bytes(String hex) {
        byte[] bytes = new byte[hex.length() / 2];
        for (int at = 0; at < bytes.length; at++) {
            bytes[at] = (byte) Integer.parseInt(hex.substring(2 * at, 2 * at + 2), 16);
        }
        return bytes;
    }

    /** A value as it is stored here, or by a client that has two lengths of integers and no dates. */
    private static Object value(String kind, byte[] data, boolean byAnother) {
        String text = new String(data, StandardCharsets.UTF_8);
        switch (byAnother ? kind.replace("byte8", "int32").replace("date", "int") : kind) {
            case "text":
                return text;
            case "int":
                return Long.valueOf(text);
            case "int32":
                return Integer.valueOf(text);
            case "byte8":
                return Byte.valueOf(text);
            case "float":
                return Double.valueOf(text);
            case "float32":
                return Float.valueOf(text);
            case "bool":
                return text.equals("1");
            case "date":
                return new Date(Long.parseLong(text));
            case "list":
                return new ArrayList<>(List.of(text));
            default:
                return data;
        }
    }
}
