import java.io.BufferedReader;
import java.io.FileReader;
import java.io.IOException;
import java.lang.reflect.InvocationHandler;
import java.lang.reflect.InvocationTargetException;
import java.lang.reflect.Method;
import java.lang.reflect.Proxy;
import java.net.InetAddress;
import java.net.InetSocketAddress;
import java.net.Socket;
import java.nio.ByteBuffer;
import java.nio.ByteOrder;
import java.nio.file.Files;
import java.nio.file.Paths;
import java.time.Instant;
import java.util.ArrayList;
import java.util.Arrays;
import java.util.HashSet;
import java.util.Set;
import org.apache.hadoop.fs.Path;
import org.apache.hadoop.hive.conf.HiveConf;
import org.apache.hadoop.hive.metastore.HiveMetaStore;
import org.apache.hadoop.hive.metastore.IHMSHandler;
import org.apache.hadoop.hive.metastore.TSetIpAddressProcessor;
import org.apache.hadoop.hive.metastore.api.Database;
import org.apache.hadoop.hive.metastore.api.MetaException;
import org.apache.hadoop.hive.metastore.api.NoSuchObjectException;
import org.apache.hadoop.hive.metastore.api.Table;
import org.apache.thrift.TApplicationException;
import org.apache.thrift.server.TThreadPoolServer;
import org.apache.thrift.transport.TServerSocket;
import org.apache.thrift.transport.TSocket;
import org.apache.thrift.transport.TTransportException;

/**
 * Hive's metastore service on 127.0.0.1 only. Hive 2.3's own main class listens on every interface and has no setting for it.
 * Hive's housekeeping threads are left out: they serve transactional Hive tables, and Perennial has none. Janino, which Spark
 * ships, compiles this file at the start, so no Java compiler is needed.
 *
 * Arguments: the port, and the address of the folder in the lake that holds all tables.
 */
public final class LoopbackMetastore {
    public static void main(String[] args) throws Exception {
        HiveConf conf = new HiveConf(HiveMetaStore.class);
        IHMSHandler handler =
            HiveMetaStore.newRetryingHMSHandler(new HiveMetaStore.HMSHandler("perennial", conf, false), conf);
        serve(Integer.parseInt(args[0]), Guard.around(handler, args[1]));
    }

    static void serve(int port, IHMSHandler handler) throws Exception {
        InetSocketAddress address = new InetSocketAddress(InetAddress.getByName("127.0.0.1"), port);
        TThreadPoolServer.Args options = new TThreadPoolServer.Args(new OwnUserSocket(address));
        options.processor(new TSetIpAddressProcessor(handler));
        options.minWorkerThreads(2);
        options.maxWorkerThreads(100);
        new TThreadPoolServer(options).serve();
    }
}

/**
 * A server socket that lets in only processes of this service's own user and of root, and closes all other connections unread.
 *
 * Linux lists every TCP socket with its state, its owner and its inode. Both ends of a connection on this machine are in the
 * list. Both must be established and held by a process: a socket without a process has inode 0, and most kernels name root as its
 * owner. The requirement on our own end excludes a client that has closed and whose port has another owner by now.
 */
final class OwnUserSocket extends TServerSocket {
    private static final String SOCKETS = "/proc/net/tcp";
    private static final String SOCKETS_6 = "/proc/net/tcp6";
    private static final String MAPPED = "0000000000000000FFFF0000"; // ::ffff:0:0 of a client whose socket is an IPv6 one
    private static final String ESTABLISHED = "01";
    private static final String ROOT = "0";
    private static final long MIN_MILLIS_BETWEEN_REPORTS = 60000;

    private long refused = 0;
    private long lastReport = 0;

    OwnUserSocket(InetSocketAddress address) throws TTransportException, IOException {
        super(address);
        if (!Files.isReadable(Paths.get(SOCKETS, new String[0]))) {
            close();
            throw new IOException(SOCKETS + " cannot be read: the metastore cannot tell which user connects. It needs Linux.");
        }
    }

    public TSocket accept() throws TTransportException {
        while (true) {
            TSocket client = super.accept();
            if (isAllowed(client.getSocket())) return client;
            client.close();
        }
    }

    private boolean isAllowed(Socket connection) {
        String here = format(connection.getLocalAddress(), connection.getLocalPort());
        String there = format(connection.getInetAddress(), connection.getPort());
        String[] owners = new String[2];
        try {
            findOwners(SOCKETS, here, there, owners);
            if (owners[0] == null || owners[1] == null) {
                findOwners(SOCKETS_6, MAPPED + here, MAPPED + there, owners);
            }
        } catch (IOException error) {
            report(error.toString());
            return false;
        }
        // A client that has gone, such as the probe of a port, is no news.
        if (owners[0] == null || owners[1] == null) return false;
        if (owners[1].equals(owners[0]) || owners[1].equals(ROOT)) return true;
        report("it is of the user with the number " + owners[1]);
        return false;
    }

    /** Find the users of both ends of a connection, ours first, where they are established and held by a process. */
    private static void findOwners(String file, String here, String there, String[] owners) throws IOException {
        if (!Files.exists(Paths.get(file, new String[0]))) return; // without IPv6
        BufferedReader lines = new BufferedReader(new FileReader(file));
        try {
            for (String line = lines.readLine(); line != null; line = lines.readLine()) {
                if (line.indexOf(there) < 0) continue;
                String[] words = line.trim().split("\\s+");
                // 1 local address, 2 remote address, 3 state, 7 user, 9 inode
                if (words.length < 10 || !words[3].equals(ESTABLISHED) || words[9].equals("0")) continue;
                if (words[1].equals(here) && words[2].equals(there)) owners[0] = words[7];
                if (words[1].equals(there) && words[2].equals(here)) owners[1] = words[7];
            }
        } finally {
            lines.close();
        }
    }

    /** Return an IPv4 address and a port as Linux lists them. */
    private static String format(InetAddress address, int port) {
        int number = ByteBuffer.wrap(address.getAddress()).order(ByteOrder.nativeOrder()).getInt();
        return String.format("%08X:%04X", new Object[] {Integer.valueOf(number), Integer.valueOf(port)});
    }

    private void report(String problem) {
        refused++;
        long now = System.currentTimeMillis();
        if (now - lastReport < MIN_MILLIS_BETWEEN_REPORTS) return;
        lastReport = now;
        System.err.println(Instant.now() + " WARN Connections refused so far: " + refused + ". The last one: " + problem + ".");
    }
}

/**
 * A handler that knows only the calls of Perennial's clients: pyiceberg's, Iceberg's Hive catalog in Spark, and Spark's own.
 *
 * Databases and tables are in the lake's warehouse. No call deletes files: Iceberg deletes its own. There are no functions.
 */
final class Guard implements InvocationHandler {
    private static final Set<String> CALLS = new HashSet<String>(Arrays.asList(new String[] {
        "alter_table", "alter_table_with_environment_context", "create_database", "create_table",
        "create_table_with_environment_context", "drop_database", "drop_table", "drop_table_with_environment_context",
        "get_all_databases", "get_all_tables", "get_database", "get_databases", "get_table", "get_table_names_by_filter",
        "get_table_objects_by_name", "get_tables", "get_tables_by_type", "set_ugi", "shutdown"
    }));
    private static final String[] ADDRESSES = new String[] {"metadata_location", "previous_metadata_location"};

    private final IHMSHandler handler;
    private final String warehouse;

    private Guard(IHMSHandler handler, String warehouse) {
        this.handler = handler;
        this.warehouse = new Path(warehouse).toString();
    }

    static IHMSHandler around(IHMSHandler handler, String warehouse) {
        Class[] types = new Class[] {IHMSHandler.class};
        return (IHMSHandler) Proxy.newProxyInstance(Guard.class.getClassLoader(), types, new Guard(handler, warehouse));
    }

    public Object invoke(Object proxy, Method method, Object[] arguments) throws Throwable {
        String call = method.getName();
        if (call.equals("get_functions")) return new ArrayList();
        if (call.equals("get_function")) {
            // Spark asks for every function that it does not know, and takes these words for a no.
            throw new NoSuchObjectException("Function " + arguments[0] + "." + arguments[1] + " does not exist");
        }
        if (!CALLS.contains(call)) {
            String text = "Perennial's metastore refuses " + call + ": no client of Perennial needs it";
            throw new TApplicationException(TApplicationException.UNKNOWN_METHOD, text);
        }
        for (int index = 0; arguments != null && index < arguments.length; index++) check(call, arguments[index]);
        try {
            return method.invoke(this.handler, arguments);
        } catch (InvocationTargetException error) {
            throw error.getCause();
        }
    }

    private void check(String call, Object argument) throws MetaException {
        if (call.startsWith("drop_") && Boolean.TRUE.equals(argument)) {
            throw new MetaException("Perennial's metastore refuses " + call + " that deletes files or drops more than one name");
        }
        if (argument instanceof Database) {
            checkAddress(call, ((Database) argument).getLocationUri());
        }
        if (argument instanceof Table) {
            Table table = (Table) argument;
            if (table.getSd() != null) checkAddress(call, table.getSd().getLocation());
            for (int index = 0; table.getParameters() != null && index < ADDRESSES.length; index++) {
                checkAddress(call, (String) table.getParameters().get(ADDRESSES[index]));
            }
        }
    }

    private void checkAddress(String call, String address) throws MetaException {
        if (address == null || address.isEmpty()) return; // the metastore then chooses one in the warehouse
        String path;
        try {
            path = new Path(address).toString(); // without . and ..
        } catch (IllegalArgumentException error) {
            path = "";
        }
        if ((path + "/").startsWith(this.warehouse + "/")) return;
        throw new MetaException(
            "Perennial's metastore refuses " + call + ": " + address + " is outside " + this.warehouse
                + ". If PERENNIAL_LAKE has changed, set it back, or begin with an empty state folder");
    }
}
