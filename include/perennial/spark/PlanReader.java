package perennial;

import java.util.IdentityHashMap;
import org.apache.spark.sql.catalyst.CatalystIdentifier;
import org.apache.spark.sql.catalyst.expressions.Cast;
import org.apache.spark.sql.catalyst.expressions.Expression;
import org.apache.spark.sql.catalyst.expressions.Literal;
import org.apache.spark.sql.catalyst.plans.logical.LogicalPlan;
import org.apache.spark.sql.catalyst.plans.logical.SubqueryAlias;
import org.apache.spark.sql.catalyst.plans.logical.View;
import org.apache.spark.sql.catalyst.trees.Origin;
import org.apache.spark.sql.catalyst.trees.TreeNode;
import org.apache.spark.sql.catalyst.util.DateTimeUtils;
import org.apache.spark.sql.execution.SparkSqlParser;
import org.apache.spark.sql.internal.SQLConf;
import org.apache.spark.sql.types.ArrayType;
import org.apache.spark.sql.types.DataType;
import org.apache.spark.sql.types.DateType;
import org.apache.spark.sql.types.MapType;
import org.apache.spark.sql.types.StringType;
import org.apache.spark.sql.types.StructField;
import org.apache.spark.sql.types.StructType;
import org.apache.spark.sql.types.TimestampNTZType;
import org.apache.spark.sql.types.TimestampType;
import org.apache.spark.sql.types.UserDefinedType;
import org.apache.spark.unsafe.types.UTF8String;

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
    private boolean asParsed = false;
    private boolean takesPresentDay = false;

    /** Return the nodes, parents first, a line each: depth, line in the query, class and the texts of the node's own fields. */
    public synchronized String read(Object plan) {
        lines.setLength(0);
        seen.clear();
        nodes = 0;
        takesPresentDay = false;
        visit(plan, 0);
        if (plan instanceof LogicalPlan && ((LogicalPlan) plan).resolved()) {
            visit(((LogicalPlan) plan).schema(), 1);
        }
        seen.clear();
        return lines.toString();
    }

    /** Do the same for a plan as it was parsed: each literal of a date or a time has its type, its text and its fault, if any. */
    public synchronized String readParsed(Object plan) {
        asParsed = true;
        try {
            return read(plan);
        } finally {
            asParsed = false;
        }
    }

    /** Return whether a plan converts a constant text without a day to a timestamp: Spark completes it with the present day. */
    public synchronized boolean takesPresentDay(Object plan) {
        read(plan);
        return takesPresentDay;
    }

    /** Parse a query and leave its tables of VALUES as they are written. */
    public Object parse(final String text) {
        SQLConf conf = SQLConf.get().clone();
        // Otherwise a table of VALUES becomes rows, in which no literals are left.
        conf.setConfString("spark.sql.parser.eagerEvalOfUnresolvedInlineTable", "false");
        return SQLConf.withExistingConf(conf, new scala.runtime.AbstractFunction0() {
            public Object apply() {
                return new SparkSqlParser().parseQuery(text);
            }
        });
    }

    private void visit(Object value, int depth) {
        if (value instanceof TreeNode) {
            if (seen.put(value, value) == null) {
                visitNode((TreeNode) value, depth);
            }
        } else if (value instanceof DataType) {
            visitType((DataType) value, depth);
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

    /** List what runs code: types of a user's own class, and texts of expressions that give a default. */
    private void visitType(DataType type, int depth) {
        if (type instanceof UserDefinedType) {
            appendNode(depth, type.getClass().getName());
        } else if (type instanceof ArrayType) {
            visitType(((ArrayType) type).elementType(), depth);
        } else if (type instanceof MapType) {
            visitType(((MapType) type).keyType(), depth);
            visitType(((MapType) type).valueType(), depth);
        } else if (type instanceof StructType && seen.put(type, type) == null) {
            StructField[] fields = ((StructType) type).fields();
            for (int index = 0; index < fields.length; index++) {
                if (fields[index].metadata().contains("CURRENT_DEFAULT") || fields[index].metadata().contains("EXISTS_DEFAULT")) {
                    appendNode(depth, "DEFAULT");
                }
                visitType(fields[index].dataType(), depth);
            }
        }
    }

    private void appendNode(int depth, String name) {
        lines.append(depth).append("\t0\t").append(name).append('\n');
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
        if (node instanceof Literal && isTime(((Literal) node).dataType())) {
            append(((Literal) node).dataType().typeName());
        }
        if (asParsed && node instanceof Literal && isTime(((Literal) node).dataType())) {
            UTF8String text = textOf(node.origin());
            append(text == null ? "" : text.toString());
            append(text == null ? "UNKNOWN" : isWithoutDay(text) ? "NO DAY" : "");
        }
        if (node instanceof Cast && ((Cast) node).dataType().simpleString().contains("timestamp")) {
            takesPresentDay |= isConstantWithoutDay(((Cast) node).child());
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

    /** Return the text of a literal such as TIMESTAMP '…', without quotes and escapes; null if its place is not known. */
    private static UTF8String textOf(Origin origin) {
        if (origin.sqlText().isEmpty() || origin.startIndex().isEmpty() || origin.stopIndex().isEmpty()) {
            return null;
        }
        String query = (String) origin.sqlText().get();
        int start = query.offsetByCodePoints(0, ((Integer) origin.startIndex().get()).intValue());
        int stop = query.offsetByCodePoints(0, ((Integer) origin.stopIndex().get()).intValue() + 1);
        while (start < stop && (Character.isLetter(query.charAt(start)) || query.charAt(start) == '_')) {
            start++;
        }
        Object text = new SparkSqlParser().parseExpression(query.substring(start, stop));
        boolean isText = text instanceof Literal && ((Literal) text).value() instanceof UTF8String;
        return isText ? (UTF8String) ((Literal) text).value() : null;
    }

    private static boolean isConstantWithoutDay(Expression expression) {
        if (!expression.foldable()) {
            return false;
        }
        if (!(expression.dataType() instanceof StringType)) {
            scala.collection.Iterator parts = expression.children().iterator();
            while (parts.hasNext()) {
                if (isConstantWithoutDay((Expression) parts.next())) {
                    return true;
                }
            }
            return false;
        }
        Object value;
        try {
            value = expression.eval(null);
        } catch (RuntimeException error) {
            // Spark evaluates it again and reports the error with its place in the query.
            return false;
        }
        return value instanceof UTF8String && isWithoutDay((UTF8String) value);
    }

    private static boolean isWithoutDay(UTF8String text) {
        scala.Tuple3 parts = DateTimeUtils.parseTimestampString(text);
        return ((int[]) parts._1()).length > 0 && ((Boolean) parts._3()).booleanValue();
    }

    private static boolean isTime(DataType type) {
        return type instanceof DateType || type instanceof TimestampType || type instanceof TimestampNTZType;
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
