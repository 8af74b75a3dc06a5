package perennial;

import java.util.Map;
import org.apache.hadoop.fs.Path;
import org.apache.iceberg.hadoop.HadoopFileIO;
import org.apache.iceberg.io.InputFile;
import org.apache.iceberg.io.OutputFile;

/**
 * The files of a catalog's warehouse. Every other address is refused, whichever table, manifest or setting names it.
 *
 * Iceberg opens, writes, lists and deletes all files of its tables through this class: metadata, manifests, rows, deleted rows,
 * statistics. Janino, which Spark ships, compiles it at set-up: it must be on the class path of Iceberg itself.
 */
public class LakeFileIO extends HadoopFileIO {
    private String warehouse = null;

    public void initialize(Map properties) {
        super.initialize(properties);
        this.warehouse = normalize((String) properties.get("warehouse"));
    }

    public InputFile newInputFile(String address) {
        return super.newInputFile(check(address));
    }

    public InputFile newInputFile(String address, long length) {
        return super.newInputFile(check(address), length);
    }

    public OutputFile newOutputFile(String address) {
        return super.newOutputFile(check(address));
    }

    /** Delete a file; deleteFiles calls this for each of its files. */
    public void deleteFile(String address) {
        super.deleteFile(check(address));
    }

    public void deletePrefix(String address) {
        super.deletePrefix(check(address));
    }

    public Iterable listPrefix(String address) {
        return super.listPrefix(check(address));
    }

    private String check(String address) {
        if (!normalize(address).startsWith(this.warehouse + "/")) {
            throw new SecurityException("A table names the file " + address + ", which is outside " + this.warehouse);
        }
        return address;
    }

    /** Return an address as Hadoop resolves it, without . and .., and with s3a for s3, its other name here. */
    private static String normalize(String address) {
        String path = new Path(address).toString();
        return path.startsWith("s3://") ? "s3a://" + path.substring(5) : path;
    }
}
