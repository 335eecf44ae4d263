# Stores and reads values by Dalli: `values.rb dalli HOST PORT`, and lines `set|get KEY KIND HEX`.
begin
  require "dalli"
rescue LoadError => error
  puts "missing: #{error.message}"
  exit
end

client = Dalli::Client.new("#{ARGV[1]}:#{ARGV[2]}", protocol: :meta)
$stdin.each_line do |line|
  verb, key, kind, hex = line.chomp.split(" ", -1)
  data = [hex].pack("H*")
  value = { "bool" => data == "1", "list" => [data] }.fetch(kind, data)
  raw = !%w[bool list].include?(kind)
  if verb == "set"
    client.set(key, value, 0, raw: raw) or raise key
  else
    read = client.get(key)
    read = read.b if read.is_a?(String)
    read == value or raise "#{key} #{kind}: #{read.inspect} #{value.inspect}"
  end
end
puts "done"
