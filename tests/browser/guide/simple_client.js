class SimpleWebSocketClient {
  constructor(url) {
    this.url = url;
    this.socket = null;
  }
  connect() {
    this.socket = new WebSocket(this.url);
    this.socket.onopen = (event) => {
      console.log('Connected to WebSocket');
      this.sendMessage('ping', {});
    };
    this.socket.onmessage = (event) => {
      const message = JSON.parse(event.data);
      this.handleMessage(message);
    };
    this.socket.onclose = (event) => {
      console.log('WebSocket connection closed');
    };
  }
  sendMessage(type, data) {
    const message = {
      type: type,
      data: data,
      timestamp: new Date().toISOString()
    };
    this.socket.send(JSON.stringify(message));
  }
  handleMessage(message) {
    switch(message.type) {
      case 'asset_update':
        this.updateAssetPrice(message.data);
        break;
      case 'portfolio_update':
        this.updatePortfolioValue(message.data);
        break;
      default:
        console.log('Received:', message);
    }
  }
  subscribeToAsset(symbol) {
    this.sendMessage('subscribe_asset', { symbol: symbol });
  }
  subscribeToPortfolio(portfolioId) {
    this.sendMessage('subscribe_portfolio', { portfolio_id: portfolioId });
  }
}
