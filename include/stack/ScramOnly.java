package perennial;

import java.util.Properties;
import org.postgresql.plugin.AuthenticationPlugin;
import org.postgresql.plugin.AuthenticationRequestType;
import org.postgresql.util.PSQLException;
import org.postgresql.util.PSQLState;

/** Gives the password to the JDBC driver for SCRAM only, which does not send it. A server that asks for it otherwise gets none. */
public class ScramOnly implements AuthenticationPlugin {
    private final Properties settings;

    public ScramOnly(Properties settings) {
        this.settings = settings;
    }

    public char[] getPassword(AuthenticationRequestType type) throws PSQLException {
        if (type != AuthenticationRequestType.SASL) {
            throw new PSQLException(
                "The server at PostgreSQL's port asks for " + type + ", expected SCRAM: it may be another program. No password was sent",
                PSQLState.CONNECTION_REJECTED
            );
        }
        return this.settings.getProperty("password").toCharArray();
    }
}
