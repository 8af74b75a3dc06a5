import java.net.InetAddress;
import java.net.InetSocketAddress;
import org.apache.hadoop.hive.conf.HiveConf;
import org.apache.hadoop.hive.metastore.HiveMetaStore;
import org.apache.hadoop.hive.metastore.IHMSHandler;
import org.apache.hadoop.hive.metastore.TSetIpAddressProcessor;
import org.apache.thrift.server.TThreadPoolServer;
import org.apache.thrift.transport.TServerSocket;

/**
 * Hive's metastore service on 127.0.0.1 only. Hive 2.3's own main class listens on every interface and has no setting for it.
 * Hive's housekeeping threads are left out: they serve transactional Hive tables, and Perennial has none. Janino, which Spark
 * ships, compiles this file at the start, so no Java compiler is needed.
 */
public final class LoopbackMetastore {
    public static void main(String[] args) throws Exception {
        HiveConf conf = new HiveConf(HiveMetaStore.class);
        IHMSHandler handler =
            HiveMetaStore.newRetryingHMSHandler(new HiveMetaStore.HMSHandler("perennial", conf, false), conf);
        InetSocketAddress address = new InetSocketAddress(InetAddress.getByName("127.0.0.1"), Integer.parseInt(args[0]));
        TThreadPoolServer.Args options = new TThreadPoolServer.Args(new TServerSocket(address));
        options.processor(new TSetIpAddressProcessor(handler));
        options.minWorkerThreads(2);
        options.maxWorkerThreads(100);
        new TThreadPoolServer(options).serve();
    }
}
