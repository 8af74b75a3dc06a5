import java.util.IdentityHashMap;
import org.apache.spark.sql.catalyst.CatalystIdentifier;
import org.apache.spark.sql.catalyst.plans.logical.SubqueryAlias;
import org.apache.spark.sql.catalyst.plans.logical.View;
import org.apache.spark.sql.catalyst.trees.TreeNode;
import org.apache.spark.sql.types.DataType;

/**
 * Lists the nodes of a plan: its operators, their expressions, and all plans within these.
 *
 * A node counts wherever another node keeps it: as a child or a field, in a list, a map, an option or a pair.
 * Spark's own walks know only the children.
 */
public class PlanReader {
    private static final int MAX_NODES = 200000;

    private final StringBuilder lines = new StringBuilder();
    private final IdentityHashMap seen = new IdentityHashMap();
    private int nodes = 0;

    /** Return the nodes, parents first, a line each: depth, line in the query, class and the texts of the node's own fields. */
    public synchronized String read(Object plan) {
        lines.setLength(0);
        seen.clear();
        nodes = 0;
        visit(plan, 0);
        seen.clear();
        return lines.toString();
    }

    private void visit(Object value, int depth) {
        if (value instanceof TreeNode) {
            if (seen.put(value, value) == null) {
                visitNode((TreeNode) value, depth);
            }
        } else if (value instanceof DataType) {
            return;
        } else if (value instanceof scala.collection.Iterable) {
            visitAll(((scala.collection.Iterable) value).iterator(), depth);
        } else if (value instanceof scala.Product) {
            if (seen.put(value, value) == null) {
                visitAll(((scala.Product) value).productIterator(), depth);
            }
        } else if (value instanceof java.util.Map) {
            visit(((java.util.Map) value).values(), depth);
        } else if (value instanceof java.lang.Iterable) {
            java.util.Iterator items = ((java.lang.Iterable) value).iterator();
            while (items.hasNext()) {
                visit(items.next(), depth);
            }
        } else if (value instanceof Object[]) {
            Object[] items = (Object[]) value;
            for (int index = 0; index < items.length; index++) {
                visit(items[index], depth);
            }
        }
    }

    private void visitAll(scala.collection.Iterator items, int depth) {
        while (items.hasNext()) {
            visit(items.next(), depth);
        }
    }

    private void visitNode(TreeNode node, int depth) {
        if (++nodes > MAX_NODES) {
            throw new IllegalStateException("more than " + MAX_NODES + " nodes");
        }
        Object line = node.origin().line().isEmpty() ? "0" : node.origin().line().get();
        lines.append(depth).append('\t').append(line).append('\t').append(node.getClass().getName());
        if (node instanceof View) {
            View view = (View) node;
            append(view.desc().identifier().unquotedString());
            append(view.isTempView() ? "temporary" : "stored");
            lines.append('\n');
            return;
        }
        if (node instanceof SubqueryAlias) {
            append(((SubqueryAlias) node).alias());
        }
        scala.collection.Iterator fields = node.productIterator();
        while (fields.hasNext()) {
            appendText(fields.next());
        }
        lines.append('\n');
        // The parts of a WITH are inner children. They come before the query that reads them.
        visit(node.innerChildren(), depth + 1);
        visit(node.children(), depth + 1);
        visitAll(node.productIterator(), depth + 1);
        visit(node.otherCopyArgs(), depth + 1);
    }

    private void appendText(Object field) {
        if (field instanceof String || field instanceof Boolean) {
            append(field.toString());
        } else if (field instanceof CatalystIdentifier) {
            append(((CatalystIdentifier) field).unquotedString());
        } else if (field instanceof Class) {
            append(((Class) field).getName());
        } else if (field instanceof scala.collection.Seq && !((scala.collection.Seq) field).isEmpty()) {
            scala.collection.Iterator items = ((scala.collection.Seq) field).iterator();
            StringBuilder parts = new StringBuilder();
            while (items.hasNext()) {
                Object item = items.next();
                if (!(item instanceof String)) {
                    return;
                }
                escape(parts.length() == 0 ? parts : parts.append('\u001f'), (String) item);
            }
            lines.append('\t').append(parts);
        }
    }

    private void append(String text) {
        escape(lines.append('\t'), text);
    }

    /** Append a text without control characters, which separate the lines and fields. */
    private static void escape(StringBuilder to, String text) {
        for (int index = 0; index < text.length(); index++) {
            char letter = text.charAt(index);
            if (letter < ' ') {
                to.append('?');
            } else {
                to.append(letter);
            }
        }
    }
}
